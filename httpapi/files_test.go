package httpapi

import (
	"syscall"
	"testing"
)

// TestStreamsFitTheOpenFiles: two for a stream, and always some for everything else.
func TestStreamsFitTheOpenFiles(t *testing.T) {
	for files, want := range map[int][2]int{
		1 << 20: {20_000, 28_192}, // more than enough
		1024:    {384, 512},
		65536:   {20_000, 28_192},
		16:      {6, 8},
	} {
		streams, connections := within(files, 20_000, 0)
		if streams != want[0] || connections != want[1] {
			t.Errorf("%d files: %d streams, %d connections, want %v", files, streams, connections, want)
		}
		if streams+connections > files*7/8 {
			t.Errorf("%d files: %d streams and %d connections leave too little", files, streams, connections)
		}
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	low := was
	low.Cur = min(was.Cur, 800)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) })
	if w := newWorld(t); w.api.cfg.MaxStreams > 300 {
		t.Errorf("%d streams with %d open files", w.api.cfg.MaxStreams, low.Cur)
	}
}
