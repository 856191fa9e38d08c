// Command run is make bench: it measures, prints a table and writes bench.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"strings"
	"syscall"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/core"
	"queen-rbee/cmd/internal/bench/relay"
	"queen-rbee/cmd/internal/version"
)

// families are all that is measured, in order.
func families() []bench.Family { return append(core.Families(), relay.Families()...) }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := set.String("run", "", "measure only families with a row that this regular `expression` matches")
	rounds := set.Int("rounds", 0, "rounds that count (default 5; 3 with -quick)")
	quick := set.Bool("quick", false, "shorter spans, fewer trials, fewer jobs")
	list := set.Bool("list", false, "list the rows and measure nothing")
	out := set.String("json", "bench.json", "file to write")
	docs := set.Bool("docs", false, "put the table into docs/performance.md too")
	dir := set.String("dir", "", "where data is put: the disk to be measured (default: the directory for temporary files)")
	profile := set.String("cpuprofile", "", "write a CPU profile of this process to a file; choose one family with -run")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *list {
		for _, f := range families() {
			for _, s := range f.Rows {
				fmt.Printf("%s: %s\n", f.Name, s.Name)
			}
		}
		return nil
	}
	o := bench.Options{Rounds: *rounds, Quick: *quick, Log: os.Stderr}
	if o.Rounds <= 0 {
		o.Rounds = 5
		if *quick {
			o.Rounds = 3
		}
	}
	var err error
	if *only != "" {
		if o.Run, err = regexp.Compile(*only); err != nil {
			return fmt.Errorf("-run: %w", err)
		}
	}
	if o.Dir, err = os.MkdirTemp(*dir, "rbee-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(o.Dir) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	end, err := profiled(*profile)
	if err != nil {
		return err
	}
	rows, err := bench.Run(ctx, families(), o)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	report := bench.Report{Commit: version.Current().Commit, Machine: bench.Machine(o.Dir), Rows: rows}
	return write(report, *out, *docs, command(*only, *rounds, *quick))
}

// profiled begins a CPU profile and returns what ends it; an empty path makes none.
func profiled(path string) (end func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// command is how to take the same figures again. Where data lay is left out: a path says
// nothing elsewhere.
func command(only string, rounds int, quick bool) string {
	var args []string
	if only != "" {
		args = append(args, "-run '"+only+"'")
	}
	if rounds > 0 {
		args = append(args, fmt.Sprintf("-rounds %d", rounds))
	}
	if quick {
		args = append(args, "-quick")
	}
	if len(args) == 0 {
		return "make bench"
	}
	return `make bench BENCH="` + strings.Join(args, " ") + `"`
}

// page is where the table is kept for readers.
const page = "docs/performance.md"

func write(r bench.Report, out string, docs bool, command string) error {
	if err := r.Text(os.Stdout); err != nil {
		return err
	}
	data, err := r.JSON()
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, data, 0o644); err != nil {
		return err
	}
	if !docs {
		return nil
	}
	old, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := r.Markdown(string(old), command)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(text), 0o644)
}
