package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"queen-rbee/cmd/internal/bench/relay/order"
)

// build makes the programs that are measured, as they ship, and the load generator.
func build(ctx context.Context, to string) error {
	args := []string{"build", "-trimpath", "-o", to + "/"}
	for _, name := range []string{"queen-rbee", "rbee-hive", "rbee-worker", "internal/bench/relay/load"} {
		args = append(args, "queen-rbee/cmd/"+name)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// program is a process beside the cluster's own.
type program struct {
	name string
	cmd  *exec.Cmd
	log  string
	over chan struct{} // closed when it has ended
	how  error         // written before
}

// launch starts a program in a process group of its own; its words go to a file in dir.
func launch(dir, name string, cmd *exec.Cmd) (*program, error) {
	p := &program{name: name, cmd: cmd, log: filepath.Join(dir, name+".log"), over: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// watch waits for the program in a goroutine.
func (p *program) watch() *program {
	go func() {
		p.how = p.cmd.Wait()
		close(p.over)
	}()
	return p
}

func (p *program) pids() ([]int, error) { return family(p.cmd.Process.Pid) }

// stop ends it and what it started, and waits for it.
func (p *program) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.over
}

// saying adds the end of its log to an error.
func (p *program) saying(err error) error {
	data, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w; its log ends: %s", p.name, err, data[max(0, len(data)-1000):])
}

// listening waits until somebody takes connections at addr.
func (p *program) listening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.over:
			return p.saying(errors.Join(errors.New("ended"), p.how))
		case <-ctx.Done():
			return p.saying(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddr is an address nobody listens at.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// load is a running load generator.
type load struct {
	*program
	in  io.WriteCloser
	out *bufio.Reader
}

// startLoad begins an order and returns once every connection of it serves.
func (b *rig) startLoad(ctx context.Context, o order.Order) (*load, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(b.bins, "load"))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = write
	b.loads++
	p, err := launch(b.dir, fmt.Sprintf("load-%d", b.loads), cmd)
	if closing := write.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	l := &load{program: p.watch(), in: in, out: bufio.NewReader(read)}
	go func() {
		<-l.over
		_ = read.SetReadDeadline(time.Now().Add(time.Second)) // its last words are in the pipe
	}()
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })()
	if _, err := in.Write(append(text, '\n')); err != nil {
		l.stop()
		return nil, l.saying(err)
	}
	if line, err := l.out.ReadString('\n'); err != nil || line != "ready\n" {
		l.stop()
		return nil, l.saying(errors.Join(errors.New("did not begin"), err))
	}
	return l, nil
}

// count is what the generator has counted so far.
func (l *load) count() (int64, error) {
	if _, err := io.WriteString(l.in, "count\n"); err != nil {
		return 0, l.saying(err)
	}
	line, err := l.out.ReadString('\n')
	if err != nil {
		return 0, l.saying(err)
	}
	return strconv.ParseInt(strings.TrimSpace(line), 10, 64)
}
