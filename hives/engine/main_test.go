package engine

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

// envTestEngine makes this test binary play an engine: a real process that is started, asked
// and killed like any other.
const envTestEngine = "TEST_ENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(envTestEngine) != "" {
		os.Exit(testEngine(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// testEngine serves /health and /props on -addr. Its flags say what is wrong with it.
func testEngine(args []string) int {
	fs := flag.NewFlagSet("engine", flag.ExitOnError)
	addr := fs.String("addr", "", "")
	say := fs.String("say", "", "a line for the log")
	exit := fs.Int("exit", -1, "exit at once")
	once := fs.String("fail-once", "", "exit at once when this file is not there, and make it")
	loading := fs.String("loading-until", "", "503 until this file is there")
	slots := fs.Int("slots", 0, "total_slots in /props")
	key := fs.String("key", "", "wanted by /props")
	alias := fs.String("alias", "", "model_alias in /props")
	heeds := fs.Bool("heeds-int", false, "on SIGINT say so and end with 0")
	deaf := fs.Bool("deaf", false, "ignore SIGTERM")
	child := fs.String("child", "", "start a child that does nothing: group, or session for one of its own")
	idle := fs.Bool("idle", false, "only live")
	busy := fs.String("busy-until", "", "a slot works until this file is there; makes FILE.asked when it is asked")
	leave := fs.Bool("leave", false, "start a copy with the other arguments as an agent does, say its pid, and end")
	ask := fs.String("ask", "", "list the models of an external server, and end")
	_ = fs.Parse(args)
	if *ask != "" {
		return askServer(*ask)
	}
	if *leave {
		return leaveTestEngine(args[1:])
	}
	if *say != "" {
		fmt.Println(*say)
	}
	if *exit >= 0 {
		return *exit
	}
	if *once != "" {
		if _, err := os.Stat(*once); err != nil {
			_ = os.WriteFile(*once, nil, 0o600)
			return 9
		}
	}
	if *heeds {
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGINT)
		go func() { <-got; fmt.Println("interrupted"); os.Exit(0) }()
	}
	if *deaf {
		signal.Ignore(syscall.SIGTERM)
	}
	if *child != "" {
		cmd := exec.Command(os.Args[0], "-idle", "-deaf")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // holds the pipe
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: *child == "session"}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Printf("child %d\n", cmd.Process.Pid)
	}
	if *idle {
		fmt.Println("idle")
		<-time.After(time.Minute) // never outlives a broken test for long
		return 0
	}
	return serveTestEngine(*addr, *loading, *busy, *key, *alias, *slots)
}

// askServer says what an external server serves, or what is wrong with it.
func askServer(url string) int {
	models, err := NewListing(Definition{External: &External{URL: url}}, func() {}, hclog.NewNullLogger()).read(context.Background())
	fmt.Println(refs(models), err)
	return 0
}

// playAsk has a process of its own do that.
func playAsk(t *testing.T, url string, env ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-ask", url)
	cmd.Env = append(append(os.Environ(), envTestEngine+"=1"), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// leaveTestEngine plays an agent that is killed right after it has started an engine.
func leaveTestEngine(args []string) int {
	cmd := exec.Command(os.Args[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(cmd.Process.Pid)
	return 0
}

func serveTestEngine(addr, loading, busy, key, alias string, slots int) int {
	mux := http.NewServeMux()
	mux.HandleFunc("/slots", func(w http.ResponseWriter, _ *http.Request) {
		if busy == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, err := os.Stat(busy)
		fmt.Fprintf(w, `[{"id":0,"is_processing":false},{"id":1,"is_processing":%v}]`, err != nil)
		_ = os.WriteFile(busy+".asked", nil, 0o600)
	})
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(loading); loading != "" && err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`)
		}
	})
	mux.HandleFunc("/props", func(w http.ResponseWriter, r *http.Request) {
		if key != "" && r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"total_slots":%d,"model_alias":%q,"default_generation_settings":{"n_ctx":512}}`, slots, alias)
	})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	time.AfterFunc(time.Minute, func() { os.Exit(7) })
	fmt.Println(http.Serve(l, mux))
	return 1
}

// definition returns a valid definition of the test engine with more arguments.
func definition(args ...string) Definition {
	return Definition{
		Name: "test", Command: append([]string{literal(os.Args[0]), "-addr", "{{.Addr}}"}, args...),
		Env: map[string]string{envTestEngine: "1"}, Health: DefaultHealth, HealthStatus: DefaultHealthStatus,
		StartTimeout: 20 * time.Second, StopGrace: 10 * time.Second,
		Models: []Model{{Ref: "m", Path: "/m", Slots: 4}},
	}
}

// eventually asks a condition of real processes until it holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func lines(s ...string) string { return strings.Join(s, "\n") }
