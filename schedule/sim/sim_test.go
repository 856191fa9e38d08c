package sim

import (
	"flag"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	flagSeeds = flag.Uint64("seeds", 0, "how many seeds to run; 0 for the default of CI")
	flagSeed  = flag.Uint64("seed", 1, "the first seed")
	flagTrace = flag.Bool("trace", false, "print the whole trace of the first seed")
)

// seeds is how many runs CI makes: the race detector makes each many times slower, and there
// is little for it to see, since a world is one goroutine.
func seeds() uint64 {
	switch {
	case *flagSeeds > 0:
		return *flagSeeds
	case withRace || testing.Short():
		return 60
	}
	return 1000
}

// configOf is the run of a seed: every kind of trouble, or all but one; half of them end in
// safety, the others let the faults stop and wait until everything has ended.
func configOf(seed uint64) Config {
	c := Config{Seed: seed, Faults: All(), Live: seed%2 == 1}
	switch seed % 20 {
	case 4, 5:
		c.Faults.Net = false
	case 6, 7:
		c.Faults.Queens = false
	case 8, 9:
		c.Faults.Hives, c.Faults.Workers = false, false
	case 10, 11:
		c.Length = 2 * defaultLength
	case 12, 13:
		c.Crowd = 50
	}
	return c
}

// each runs many seeds on all processors. What it is given is called by one goroutine at a
// time and tells whether to go on.
func each(first, count uint64, config func(uint64) Config, take func(seed uint64, rep Report) bool) {
	var mu sync.Mutex
	next, stopped := first, false
	draw := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		seed := next
		next++
		return seed, !stopped && seed < first+count
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed, more := draw(); more; seed, more = draw() {
				rep := Run(config(seed))
				mu.Lock()
				stopped = stopped || !take(seed, rep)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestSeeds runs the simulation. A failing seed is shrunk and told with its trace; run it
// again with go test ./schedule/sim -run TestSeeds -seed N -seeds 1 -trace.
func TestSeeds(t *testing.T) {
	failing := []uint64{}
	ended, met := map[string]int{}, map[string]int{}
	steps, jobs, index := 0, 0, uint64(0)
	each(*flagSeed, seeds(), configOf, func(seed uint64, rep Report) bool {
		if rep.Violation != nil {
			t.Errorf("seed %d at %v: %s", seed, rep.Violation.At, rep.Violation.What)
			failing = append(failing, seed)
		}
		for what, n := range rep.Ended {
			ended[what] += n
		}
		for what, n := range rep.Met {
			met[what] += n
		}
		steps, jobs, index = steps+rep.Steps, jobs+rep.Jobs, index+rep.Index
		return len(failing) < 5
	})
	t.Logf("%d seeds: %d events, %d batches, %d jobs accepted", seeds(), steps, index, jobs)
	t.Logf("clients saw %v", ended)
	t.Logf("met %v", met)
	if *flagTrace {
		cfg := configOf(*flagSeed)
		cfg.Trace = true
		if rep := Run(cfg); rep.Violation != nil {
			t.Log(strings.Join(rep.Violation.Trace, "\n"))
		}
	} else if len(failing) > 0 {
		tell(t, failing[0])
	}
}

// tell prints the plainest run that breaks as a seed does.
func tell(t *testing.T, seed uint64) {
	t.Helper()
	cfg := configOf(seed)
	kind := kindOf(Run(cfg).Violation)
	small, rep := Shrink(cfg, 400, func(v *Violation) bool { return kindOf(v) == kind })
	t.Logf("seed %d, shrunk to %d choices and the faults %+v:\n%s\nscript: %#v",
		seed, len(small.Script), small.Faults, strings.Join(rep.Violation.Trace, "\n"), small.Script)
}

// kindOf is a violation without its names and numbers.
func kindOf(v *Violation) string {
	if v == nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, v.What)
}

// TestSameSeedSameRun: a seed is a run, whatever else the process does.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		cfg := configOf(seed)
		a, b := Run(cfg), Run(cfg)
		cfg.Script = a.Script
		c := Run(cfg)
		for _, other := range []Report{b, c} {
			if a.Steps != other.Steps || a.Index != other.Index || a.Jobs != other.Jobs || len(a.Script) != len(other.Script) {
				t.Errorf("seed %d: %d events to index %d, then %d to %d", seed, a.Steps, a.Index, other.Steps, other.Index)
			}
		}
	}
}

// TestTheWorldIsRough: the rare things that the simulation is for do happen in it.
func TestTheWorldIsRough(t *testing.T) {
	if withRace {
		t.Skip("worlds of one goroutine each: TestSeeds shows the detector all there is to see")
	}
	met := map[string]int{}
	each(1, 150, configOf, func(_ uint64, rep Report) bool {
		for what, n := range rep.Met {
			met[what] += n
		}
		return true
	})
	for _, what := range []string{
		"a batch meets another state", "an entry survives its leader", "a leader falls between commit and answer",
		"a parked request is sent again", "an outcome is unknown", "a refusal is not sure", "a submission joins a job",
		"a queen starts from a snapshot", "a doorbell is refused", "an old answer is ignored", "an answer that may be old is asked for anew",
		"a run of an earlier agent is reported", "a beat is stale", "an attempt is lost", "a stream begins again", "a client reconnects",
		"a hive offers something else", "an engine outlives its agent", "an old request arrives again",
	} {
		if met[what] == 0 {
			t.Errorf("in 150 seeds it never happened that %s", what)
		}
	}
}

// TestShrink: a failing run becomes a plainer one that fails alike.
func TestShrink(t *testing.T) {
	if withRace {
		t.Skip("worlds of one goroutine each: TestSeeds shows the detector all there is to see")
	}
	cfg := Config{Faults: All(), Broken: Broken{Forgetful: true}}
	for cfg.Seed = 1; Run(cfg).Violation == nil; cfg.Seed++ {
		if cfg.Seed > 200 {
			t.Fatal("no failing run")
		}
	}
	was := Run(cfg)
	small, rep := Shrink(cfg, 150, func(v *Violation) bool { return kindOf(v) == kindOf(was.Violation) })
	switch {
	case rep.Violation == nil || kindOf(rep.Violation) != kindOf(was.Violation):
		t.Fatalf("it failed with %q and now with %+v", was.Violation.What, rep.Violation)
	case 2*len(small.Script) > len(was.Script):
		t.Errorf("%d choices became %d", len(was.Script), len(small.Script))
	case len(rep.Violation.Trace) == 0 || !strings.Contains(rep.Violation.Trace[len(rep.Violation.Trace)-1], "VIOLATION"):
		t.Error("the trace does not end with the violation")
	}
	if rep.Violation.At <= 0 || rep.Violation.At > time.Minute {
		t.Errorf("it happened at %v", rep.Violation.At)
	}
}
