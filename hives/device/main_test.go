package device

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorded is a file of testdata/devices: what a tool wrote, or a driver showed.
func recorded(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "devices", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tree reads files as they are written down in one: "-- name --", then the text.
func tree(t testing.TB, text string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for part := range strings.SplitSeq("\n"+text, "\n-- ") {
		if name, body, ok := strings.Cut(part, " --\n"); ok {
			files[name] = &fstest.MapFile{Data: []byte(body + "\n")}
		}
	}
	if len(files) == 0 {
		t.Fatal("no files")
	}
	return files
}

// says is a tool that writes a text, or fails.
func says(text string, err error) runner {
	return func(_ context.Context, name string, args ...string) ([]byte, error) {
		if name != "nvidia-smi" || strings.Join(args, " ") != "-q -x" {
			return nil, errors.New("asked for " + name)
		}
		return []byte(text), err
	}
}

// exitError is the error of a tool that ended with a code.
func exitError(t testing.TB, code string) error {
	t.Helper()
	err := exec.Command("sh", "-c", "exit "+code).Run()
	if err == nil {
		t.Fatal("it ended well")
	}
	return err
}

func sixteen() (memory, error) { return memory{total: 16 << 30, free: ptr(9 << 30)}, nil }
