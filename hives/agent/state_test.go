package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine"
)

// said is a log that can be looked at while it is written.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.buf.String(), what)
}

// A disk that refuses the state file is told of once, and written when it can be.
func TestTheStateIsWrittenWhenTheDiskTakesItAgain(t *testing.T) {
	var log said
	dir := filepath.Join(t.TempDir(), "missing")
	k := newKeeper(dir, savedState{Machine: engine.MachineBoot()}, hclog.New(&hclog.LoggerOptions{Output: &log}))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { k.run(ctx) })
	defer wg.Wait()
	defer cancel()
	k.process(savedProcess{Worker: "w1", PID: 77, StartTicks: 5})
	agenttest.Eventually(t, "refused", func() bool { return log.count("cannot be written") > 0 })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "told of the end of it", func() bool { return log.count("written again") == 1 })
	if n := log.count("cannot be written"); n != 1 {
		t.Errorf("told of %d times", n)
	}
	if s, err := loadState(dir); err != nil || len(s.Processes) != 1 {
		t.Fatalf("%+v %v", s, err)
	}
}
