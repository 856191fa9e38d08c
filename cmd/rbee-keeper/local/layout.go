package local

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Config says what to run.
type Config struct {
	Dir        string
	Queens     int     // voters, 1 to 9
	Relays     int     // queens that never vote, 0 to 9
	Hives      int     // 0 to 64
	Slots      int     // runs at once per worker of the built-in engine
	TokenRate  float64 // tokens per second of each run of the built-in engine
	BasePort   int     // first of the ports to use; 0 picks free ones
	HiveConfig string  // file for every hive instead of the generated one; "" generates

	// Find returns the path of a binary. nil looks beside this executable, then in PATH.
	Find func(name string) (string, error)
	// Say, if set, is told in words what happens. It is called on the caller's goroutine.
	Say func(text string)
}

// Limits of Config.
const (
	maxQueens = 9
	maxRelays = 9
	maxHives  = 64
)

// Validate names the field that cannot be and the fix.
func (c Config) Validate() error {
	switch {
	case c.Queens < 1 || c.Queens > maxQueens:
		return fmt.Errorf("queens: %d is not between 1 and %d", c.Queens, maxQueens)
	case c.Relays < 0 || c.Relays > maxRelays:
		return fmt.Errorf("relays: %d is not between 0 and %d", c.Relays, maxRelays)
	case c.Hives < 0 || c.Hives > maxHives:
		return fmt.Errorf("hives: %d is not between 0 and %d", c.Hives, maxHives)
	case c.Slots < 1 || c.Slots > 1024:
		return fmt.Errorf("slots: %d is not between 1 and 1024", c.Slots)
	case !(c.TokenRate > 0) || math.IsInf(c.TokenRate, 0): // not a number is not above 0 either
		return fmt.Errorf("token-rate: %g is not a number above 0", c.TokenRate)
	case c.BasePort < 0 || c.BasePort > 65535-c.ports():
		return fmt.Errorf("base-port: %d leaves no room for %d ports", c.BasePort, c.ports())
	case c.Dir == "":
		return errors.New("dir: is empty; give a directory")
	}
	return nil
}

// ports is how many all processes need: three for each queen, one for each hive.
func (c Config) ports() int { return 3*(c.Queens+c.Relays) + c.Hives }

// Spec is how one process is started.
type Spec struct {
	Name string   `json:"name"`
	Kind string   `json:"kind"`           // queen or hive
	Role string   `json:"role,omitempty"` // relay: a queen that never votes
	Bin  string   `json:"bin"`
	Args []string `json:"args"`
	URL  string   `json:"url"`
	Dir  string   `json:"dir"`
}

// Kinds of processes.
const (
	KindQueen = "queen"
	KindHive  = "hive"
)

func (s Spec) pidFile() string { return filepath.Join(s.Dir, "pid") }
func (s Spec) logFile() string { return filepath.Join(s.Dir, "log") }

// file is dev.json.
type file struct {
	Processes []Spec `json:"processes"`
}

const fileName = "dev.json"

func readFile(dir string) (file, error) {
	var f file
	path := filepath.Join(dir, fileName)
	data, err := os.ReadFile(path)
	if err != nil {
		return f, fmt.Errorf("%w; give the --dir of a running dev", err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f file) write(dir string) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, fileName), string(data)+"\n")
}

// writeWhole replaces a file, so that a reader sees the old or the new one.
func writeWhole(path, text string) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func newToken() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return "rbee-dev-" + hex.EncodeToString(b[:])
}

// roleRelay is the Role of a relay, and what queen-rbee's --role calls it.
const roleRelay = "relay"

// queenSpecs are the voters, the first of which the others join, then the relays.
func queenSpecs(c Config, bin, token string, ports []int) []Spec {
	specs := make([]Spec, c.Queens+c.Relays)
	first := "127.0.0.1:" + strconv.Itoa(ports[0])
	for i := range specs {
		name, role := fmt.Sprintf("queen-%d", i+1), ""
		if i >= c.Queens {
			name, role = fmt.Sprintf("relay-%d", i+1-c.Queens), roleRelay
		}
		dir := filepath.Join(c.Dir, name)
		addr := func(n int) string { return "127.0.0.1:" + strconv.Itoa(ports[3*i+n]) }
		args := []string{
			"serve", "--name", name, "--data-dir", filepath.Join(dir, "data"),
			"--http-addr", addr(0), "--raft-addr", addr(1), "--gossip-addr", addr(2), "--token", token,
			// All of them share one disk: when it stalls, none would be left to go on.
			"--disk-stall", "30s",
		}
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			args = append(args, "--join", first)
		}
		if role != "" {
			args = append(args, "--role", role)
		}
		specs[i] = Spec{Name: name, Kind: KindQueen, Role: role, Bin: bin, Args: args, URL: "http://" + addr(0), Dir: dir}
	}
	return specs
}

func hiveSpecs(c Config, bin, hiveToken string, queens []Spec, ports []int) []Spec {
	specs := make([]Spec, c.Hives)
	for i := range specs {
		name := fmt.Sprintf("hive-%d", i+1)
		dir := filepath.Join(c.Dir, name)
		addr := "127.0.0.1:" + strconv.Itoa(ports[i])
		config := c.HiveConfig
		if config == "" {
			config = filepath.Join(dir, "hive.yaml")
		}
		args := []string{
			"serve", "--id", name, "--addr", addr, "--advertise-url", "http://" + addr,
			"--data-dir", filepath.Join(dir, "data"), "--config", config, "--token", hiveToken,
		}
		for _, q := range queens {
			args = append(args, "--queen", q.URL)
		}
		specs[i] = Spec{Name: name, Kind: KindHive, Bin: bin, Args: args, URL: "http://" + addr, Dir: dir}
	}
	return specs
}

// hiveYAML is the config of a generated hive.
func hiveYAML(c Config, name string) string {
	return fmt.Sprintf(`# made by rbee-keeper dev
engines:
  builtin: {slots: %d, args: ["--tokens-per-second", "%g"]}
labels: {dev: "true", hive: %s}
`, c.Slots, c.TokenRate, name)
}

// Quote makes a text one word of a shell's line.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:,=+@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// writeEnv writes what a client needs, for `. dev.env` and for programs that read lines.
func writeEnv(dir string, queens, hives []Spec, key string) error {
	urls := func(specs []Spec) string {
		var u []string
		for _, s := range specs {
			u = append(u, s.URL)
		}
		return strings.Join(u, ",")
	}
	text := fmt.Sprintf("RBEE_QUEENS=%s\nRBEE_API_KEY=%s\nRBEE_HIVES=%s\nexport RBEE_QUEENS RBEE_API_KEY RBEE_HIVES\n",
		urls(queens), key, urls(hives))
	return writeWhole(filepath.Join(dir, "dev.env"), text)
}
