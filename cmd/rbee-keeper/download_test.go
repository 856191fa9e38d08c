package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

// TestCtrlCLeavesTheDownload: the watching ends, the download only when that was asked for.
func TestCtrlCLeavesTheDownload(t *testing.T) {
	for _, flag := range []string{"", "--cancel"} {
		f := clienttest.New(t, 1)
		f.Answers(catalogAnswers)
		f.Queens[0].Fail(clienttest.Fault{Match: "download", Frames: 2, Silent: true})
		ctx, interrupt := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		seen := writerFunc(func(b []byte) (int, error) {
			if strings.Contains(string(b), "1.0 MiB of") {
				interrupt() // when the person has read so much
			}
			return errs.Write(b)
		})
		k := &keeper{in: strings.NewReader(""), out: &out, err: seen}
		cmd := root(k)
		cmd.SetArgs(slices.DeleteFunc([]string{"models", "download", "qwen", "--hive=hive-1", "--api-key=key", "--queen=" + f.URLs()[0], flag},
			func(s string) bool { return s == "" }))
		code := k.exit(cmd.ExecuteContext(ctx))
		interrupt()
		want := "the download goes on"
		if flag != "" {
			want = "the download of qwen is cancelled"
		}
		evicted := slices.ContainsFunc(f.Seen(), func(s string) bool {
			return strings.Contains(s, `POST /v2/models/evict {"hives":["hive-1"],"model":"qwen"}`)
		})
		if code != exitFailed || !strings.Contains(errs.String(), want) || evicted != (flag != "") {
			t.Errorf("%q: exit code %d, evicted %v:\n%s", flag, code, evicted, errs.String())
		}
	}
}

func TestTransferBar(t *testing.T) {
	for _, tc := range []struct {
		done, total, before int64
		since               time.Duration
		width               int
		want                string
	}{
		{2 << 30, 4 << 30, 0, 10 * time.Second, 80, "[" + strings.Repeat("#", 19) + strings.Repeat(".", 20) + "] 2.0 GiB/4.0 GiB, 204.8 MiB/s, 10s left"},
		{2 << 30, 4 << 30, 2 << 30, 10 * time.Second, 40, "[" + strings.Repeat("#", 11) + strings.Repeat(".", 11) + "] 2.0 GiB/4.0 GiB"},
		{5 << 20, 0, 0, time.Second, 80, "5.0 MiB, 5.0 MiB/s"},
		{5 << 20, 0, 0, time.Second, 4, "5.0 "},
	} {
		got := transferBar(tc.done, tc.total, tc.before, tc.since, tc.width)
		if len(got) > tc.width || tc.width >= 40 && got != tc.want {
			t.Errorf("%+v: %d columns\n%q", tc, len(got), got)
		}
	}
}

// TestNothingIsAppliedWithoutAYes of the person who is asked.
func TestNothingIsAppliedWithoutAYes(t *testing.T) {
	for said, want := range map[string]bool{"y\n": true, "Yes\n": true, "\n": false, "n\n": false, "y": false, "": false} {
		var errs bytes.Buffer
		k := &keeper{in: strings.NewReader(said), err: &errs}
		if got := k.agree("apply this? "); got != want || errs.String() != "apply this? " {
			t.Errorf("%q: %v", said, got)
		}
	}
}
