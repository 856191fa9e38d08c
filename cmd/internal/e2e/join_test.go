package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// says checks that a process has told something in its log, whatever the case of letters.
func says(t *testing.T, p *rig.Process, words ...string) {
	t.Helper()
	log := strings.ToLower(p.Log())
	for _, w := range words {
		if !strings.Contains(log, strings.ToLower(w)) {
			t.Errorf("%s does not say %q", p.Name, w)
		}
	}
}

// keeper runs one command of the command line.
func keeper(t *testing.T, c *rig.Cluster, args ...string) rig.Ran {
	t.Helper()
	return c.Keeper(t, c.Queens, args...)
}

// A fourth queen joins with the command that the keeper prints, and leaves by another, while
// clients stream and submit. One with a wrong token is refused, and both sides say why.
func TestQueenJoinsAndLeavesUnderLoad(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 12, TokenRate: 20})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	var count atomic.Int64
	var mu sync.Mutex
	var ids []string
	for i := range 6 { // clients that submit one short job after the other
		load.Go(func() {
			for ctx.Err() == nil {
				n := int(count.Add(1))
				id, err := c.Submit(t.Context(), task(n%50, 2), fmt.Sprintf("load-%d", n), from(c.Queens, i)...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				if err := c.Reread(t.Context(), c.Queens[(i+1)%3].URL, id, refText(ref, t, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	w := start(t, c, ref, 12, func(i int, s *rig.Stream) { s.Task, s.Queens = task(i, 120), from(c.Queens, i) })
	w.all(3)

	fourth, hive := asPrinted(t, c)
	for _, p := range []*rig.Process{fourth, hive} {
		if err := p.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	c.AwaitHive(t, hive.Name, "online")
	c.AwaitMembers(t, append(slices.Clone(c.Queens), fourth)...)
	if listed := keeper(t, c, "queens", "list"); listed.Code != 0 || strings.Count(listed.Out, "voter") != 4 {
		t.Errorf("queens list: %+v", listed)
	}
	viaFourth := start(t, c, ref, 3, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(200+i, 10), []string{fourth.URL}
		s.Key = fmt.Sprintf("fourth-%d", i)
	})
	viaFourth.end()

	wrong := c.Queen(t, "queen-5", "--join", c.Queens[0].URL)
	for i, a := range wrong.Args {
		if a == c.Token {
			wrong.Args[i] = "rbee-this-is-another-cluster"
		}
	}
	if err := wrong.Launch(); err != nil {
		t.Fatal(err)
	}
	if code := wrong.AwaitExit(t, streamTime); code != 1 && code != 2 {
		t.Errorf("a queen with a wrong token ended with code %d, want 1 or 2:\n%s", code, wrong.Log())
	}
	says(t, wrong, "refused the cluster token: give the --token of that cluster")
	said := false
	for _, q := range c.Queens {
		said = said || strings.Contains(strings.ToLower(warnings(q)), "token")
	}
	if !said {
		t.Error("no queen of the cluster logged a warning about the wrong token")
	}

	if removed := keeper(t, c, "queens", "remove", "queen-4"); removed.Code != 0 {
		t.Errorf("queens remove: %+v", removed)
	}
	c.AwaitMembers(t, c.Queens...)
	w.end()
	stop()
	load.Wait()
	if code := fourth.AwaitExit(t, streamTime); code != 1 {
		t.Errorf("the removed queen ended with code %d, want 1", code)
	}
	says(t, fourth, "removed")
	all := append(append(w.ids(), viaFourth.ids()...), ids...)
	t.Logf("%d jobs were submitted meanwhile", len(ids))
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
}

// asPrinted makes the next queen and the next hive with the lines that the keeper prints for
// them, with what only the operator knows filled in, and ports that are free here.
func asPrinted(t *testing.T, c *rig.Cluster) (queen, hive *rig.Process) {
	t.Helper()
	printed := keeper(t, c, "queens", "token")
	if printed.Code != 0 {
		t.Fatalf("queens token: %+v", printed)
	}
	for line := range strings.Lines(printed.Out) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		name := map[string]string{"queen-rbee": "queen-4", "rbee-hive": "hive-3"}[words[0]]
		p := c.Process(name, words[0])
		port := map[string]string{}
		for _, w := range words[1:] {
			host, number, isAddr := strings.Cut(strings.TrimPrefix(w, "http://"), ":")
			switch {
			case w == "NAME":
				w = name
			case w == "HOST":
				w = "127.0.0.1"
			case w == "DIR":
				w = p.DataDir()
			case isAddr && (host == "0.0.0.0" || host == "HOST"):
				if port[number] == "" {
					_, port[number], _ = strings.Cut(rig.Addr(t), ":")
				}
				w = strings.NewReplacer("HOST", "127.0.0.1", number, port[number]).Replace(w)
			}
			p.Args = append(p.Args, w)
		}
		if p.Bin == rig.Bin("rbee-hive") {
			hive = p
			continue
		}
		queen, p.URL = p, "http://127.0.0.1:"+port["7833"]
		p.Args = append(p.Args, "--disk-stall", "30s") // beside others on one disk
	}
	if queen == nil || hive == nil {
		t.Fatalf("queens token prints no line for both: %s", printed.Out)
	}
	return queen, hive
}

func refText(ref *rig.Reference, t *testing.T, n int) string { return ref.Text(t, task(n%50, 2)) }

// warnings are the lines of a log at WARN and above.
func warnings(p *rig.Process) string {
	var out []string
	for line := range strings.Lines(p.Log()) {
		if strings.Contains(line, "[WARN]") || strings.Contains(line, "[ERROR]") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
