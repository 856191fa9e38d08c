package sim

import (
	"strings"
	"testing"
)

// TestFound keeps what the simulation has found: each is a world that behaves as the faulty
// part did, and a run that shows it. Where the part is modelled here, the same run without
// the fault must hold.
func TestFound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		says   string
	}{
		{
			// A submission is sent to a leader that stops for a while. Its queen sends it again to
			// the next leader, is refused (429) and tells the client so; then the first leader
			// leads again and the first try is accepted after all. An answer to a later try is no
			// answer to an earlier one: it is unknown_outcome.
			name: "a refusal of a later try", config: Config{Seed: 1031, Faults: All(), Live: true, Length: 2 * defaultLength, Broken: Broken{Hasty: true}},
			says: "was refused",
		},
		{
			// An agent is stopped (SIGSTOP) with an answer in its socket that lists a new run.
			// The leader gives the silent hive up and assigns the run elsewhere; continued, the
			// agent acts on the old answer and starts it. What may have lain there for long is
			// asked for anew.
			name: "an answer older than a pause", config: Config{Seed: 215, Faults: Faults{Hives: true, Net: true}, Broken: Broken{Drowsy: true}},
			says: "which is over since",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rep := Run(tt.config)
			if rep.Violation == nil || !strings.Contains(rep.Violation.What, tt.says) {
				t.Errorf("seed %d no longer shows it: %+v", tt.config.Seed, rep.Violation)
			}
			tt.config.Broken = Broken{}
			if rep := Run(tt.config); rep.Violation != nil {
				t.Errorf("seed %d breaks without the fault: %s", tt.config.Seed, rep.Violation.What)
			}
		})
	}
}
