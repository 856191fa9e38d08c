package engine

import (
	"strings"
	"testing"

	"queen-rbee/hives"
)

func TestWithModelInAForm(t *testing.T) {
	const kind = "multipart/form-data; boundary=b"
	form := func(model string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\n\xff\x00small\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n--b--\r\n"
	}
	got, err := WithModelIn(kind, []byte(form("alias")), "small/1")
	if err != nil || string(got) != form("small/1") {
		t.Errorf("%v %q", err, got)
	}
	if got, err := WithModelIn("", []byte(`{"model":"alias","input":"a"}`), "small"); err != nil || !strings.Contains(string(got), `"model":"small"`) {
		t.Errorf("%v %s", err, got)
	}
	if got, err := WithModelIn(kind, []byte(strings.TrimSuffix(form("x"), "--b--\r\n")), "m"); hives.CodeOf(err) != hives.CodeInvalid {
		t.Errorf("cut off: %v %q", err, got)
	}
}
