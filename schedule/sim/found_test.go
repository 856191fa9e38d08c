package sim

import (
	"strings"
	"testing"
)

// TestFound keeps what the simulation has found in parts that are modelled here: each is a
// world that behaves as the faulty part did, and the seed that showed it. Without the fault
// the same run must hold. Where a change of the code makes another run of the seed, the
// search goes on from it.
func TestFound(t *testing.T) {
	if withRace {
		t.Skip("worlds of one goroutine each: TestSeeds shows the detector all there is to see")
	}
	for _, tt := range []struct {
		name  string
		seed  uint64
		world func(seed uint64) Config
		says  string
	}{
		{
			// A submission is sent to a leader that stops for a while. Its queen sends it again to
			// the next leader, is refused (429) and tells the client so; then the first leader
			// leads again and the first try is accepted after all. An answer to a later try is no
			// answer to an earlier one: it is unknown_outcome.
			name: "a refusal of a later try", seed: 541, says: "was refused",
			world: func(seed uint64) Config {
				return Config{Seed: seed, Faults: Faults{Queens: true, Net: true}, Crowd: 60, Broken: Broken{Hasty: true}}
			},
		},
		{
			// An agent is stopped (SIGSTOP) with an answer in its socket that lists a new run.
			// The leader gives the silent hive up and assigns the run elsewhere; continued, the
			// agent acts on the old answer and starts it. What may have lain there for long is
			// asked for anew.
			name: "an answer older than a pause", seed: 3164, says: "which is over since",
			world: func(seed uint64) Config {
				return Config{Seed: seed, Faults: Faults{Hives: true, Net: true}, Length: 2 * defaultLength, Crowd: 30, Broken: Broken{Drowsy: true}}
			},
		},
		{
			// An agent registers at a queen and is killed; the next one registers, and lives.
			// Then the registration of the dead one arrives: nobody had seen it before, so it is
			// a new start, takes the hive, and the living agent is told that it is superseded. A
			// registration names the incarnation that it replaces.
			name: "a late registration of a start that nobody had seen", seed: 570, says: "by the late registration",
			world: func(seed uint64) Config { return withBroken(configOf(seed), Broken{Boots: true}) },
		},
		{
			// Idle workers hold the memory, or are as many as the model may have, where a waiting
			// job is not allowed: nothing ever stops one of them, and the job waits for ever.
			name: "idle workers that nobody unloads", seed: 152, says: "is still queued",
			world: func(seed uint64) Config {
				c := withBroken(configOf(seed), Broken{Hoarding: true})
				c.Live = true
				return c
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const most = 4000
			found := uint64(0)
			each(tt.seed, most, tt.world, func(seed uint64, rep Report) bool {
				if rep.Violation != nil && strings.Contains(rep.Violation.What, tt.says) {
					found = seed
				}
				return found == 0
			})
			if found == 0 {
				t.Fatalf("not found in %d seeds from %d on", most, tt.seed)
			}
			t.Logf("seed %d", found)
			if rep := Run(withBroken(tt.world(found), Broken{})); rep.Violation != nil {
				t.Errorf("seed %d breaks without the fault: %s", found, rep.Violation.What)
			}
		})
	}
}

func withBroken(c Config, b Broken) Config {
	c.Broken = b
	return c
}
