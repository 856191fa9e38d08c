package chaos

import (
	"flag"
	"fmt"
	"time"

	"queen-rbee/cmd/internal/chaos/nemesis"
)

// Config is what one run is told. Flags fills it with the defaults.
type Config struct {
	Duration time.Duration // of the faults; the end takes as long as it needs
	Seed     uint64
	Queens   int
	Relays   int // beside them
	Hives    int
	Clients  int
	Report   string // file for the report, "" for none
	Keep     string // directory for data, logs and history, also without a violation; "" for none

	faults string
	Faults []nemesis.Kind
}

// Flags declares them. seed is the default.
func (c *Config) Flags(f *flag.FlagSet, seed uint64) {
	f.DurationVar(&c.Duration, "duration", 10*time.Minute, "how long faults are made")
	f.Uint64Var(&c.Seed, "seed", seed, "decides the faults and what the clients do (default: drawn)")
	f.StringVar(&c.faults, "faults", "all", "all, none, or a comma list of kinds: "+fmt.Sprint(nemesis.Kinds()))
	f.IntVar(&c.Queens, "queens", 3, "queens, 3 to 7")
	f.IntVar(&c.Relays, "relays", 0, "queens beside them that hold the state and do not vote, 0 to 4")
	f.IntVar(&c.Hives, "hives", 2, "hives with the built-in engine, 1 to 8")
	f.IntVar(&c.Clients, "clients", 12, "clients at the same time")
	f.StringVar(&c.Keep, "keep", "", "directory to keep data, logs and the history in, whatever comes of the run")
	f.StringVar(&c.Report, "report", "", "file to write the report to, too")
}

// Validate names the flag and the fix.
func (c *Config) Validate() (err error) {
	c.Faults, err = nemesis.Parse(c.faults)
	switch {
	case err != nil:
		return fmt.Errorf("-faults: %w", err)
	case c.Duration <= 0:
		return fmt.Errorf("-duration: %s is not above 0", c.Duration)
	case c.Queens < 3 || c.Queens > 7:
		return fmt.Errorf("-queens: %d is not between 3 and 7", c.Queens)
	case c.Relays < 0 || c.Relays > 4:
		return fmt.Errorf("-relays: %d is not between 0 and 4", c.Relays)
	case c.Hives < 1 || c.Hives > 8:
		return fmt.Errorf("-hives: %d is not between 1 and 8", c.Hives)
	case c.Clients < 1 || c.Clients > 1000:
		return fmt.Errorf("-clients: %d is not between 1 and 1000", c.Clients)
	}
	return nil
}

// cast is who takes part.
func (c *Config) cast() string {
	queens := fmt.Sprintf("%d queens", c.Queens)
	if c.Relays > 0 {
		queens += fmt.Sprintf(", %d relays", c.Relays)
	}
	return fmt.Sprintf("%s, %d hives, %d clients", queens, c.Hives, c.Clients)
}
