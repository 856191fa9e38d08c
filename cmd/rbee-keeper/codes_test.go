package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

// TestExitCodes: 0 ok, 1 failed, 2 usage, 3 no queen reachable, and what is said.
func TestExitCodes(t *testing.T) {
	f := clienttest.New(t, 2)
	f.Answers(answers)
	gone := clienttest.New(t, 1)
	gone.Queens[0].Close()
	config := filepath.Join(t.TempDir(), "keeper.yaml")
	if err := os.WriteFile(config, []byte("queen: ["+f.URLs()[0]+"]\napi-key: key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("quen: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "--queen=" + strings.Join(f.URLs(), ",")
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"--help", 0, "rbee-keeper demo"},
		{"", 0, "Available Commands"},
		{"--version", 0, "rbee-keeper "},
		{"jobs", 0, "cancel"},
		{good + " --api-key=key queens list", 0, "queen-2"},
		{"--config=" + config + " queens list", 0, "queen-2"},
		{good + " --api-key=wrong queens list", 1, "unauthenticated: no or bad API key"},
		{good + " --api-key=wrong queens list", 1, "hint: give a key with --api-key or RBEE_API_KEY"},
		{good + " --api-key=key jobs show nope", 1, "not_found: no job nope"},
		{"nonsense", 2, `"nonsense" is no command of rbee-keeper`},
		{"quens", 2, `did you mean "queens"`},
		{"jobs nonsense", 2, `"nonsense" is no command of rbee-keeper jobs`},
		{"jobs show", 2, "the job's id is missing"},
		{"jobs show a b", 2, `"b" is one argument too many`},
		{"status --nope", 2, "unknown flag: --nope"},
		{"status -o xml", 2, `--output: "xml" is not known`},
		{"status --queen ftp://x", 2, "--queen: \"ftp://x\" is not the URL of a queen"},
		{"status --config " + bad, 2, `unknown key "quen"`},
		{"dev --queens 0", 2, "queens: 0 is not between 1 and 9"},
		{"dev --restart queen-1", 2, "--restart needs --dir"},
		{"dev --restart queen-1 --dir /nowhere", 1, "give the --dir of a running dev"},
		{"demo --queens 1", 2, "leaves no majority"},
		{"--patience=50ms --queen=" + gone.URLs()[0] + " status", 3, "no queen reachable: " + gone.URLs()[0]},
		{"--patience=50ms --queen=" + gone.URLs()[0] + " infer m x", 3, "hint: name a living queen"},
		{"--patience=50ms --queen=" + gone.URLs()[0] + " queens transfer", 3, "no queen reachable"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := Main(strings.Fields(tc.args), strings.NewReader(""), &out, &errs)
			all := out.String() + errs.String()
			if code != tc.code || !strings.Contains(all, tc.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tc.code, tc.want, all)
			}
			if tc.code != 0 && out.Len() > 0 {
				t.Errorf("an error went to stdout: %s", out.String())
			}
		})
	}
}
