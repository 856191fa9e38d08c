package local

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The test binary plays queen and hive when it is started under their names.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "queen-rbee", "rbee-hive":
		os.Exit(play(name, os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// fakeMember is what a fake process writes beside its data for the others to see.
type fakeMember struct{ Name, Kind, Role, Status string }

// faults of fake processes, by file in the cluster's directory.
const (
	faultCrash    = "fault-crash"    // NAME: it ends while starting
	faultDeaf     = "fault-deaf"     // NAME: it ignores SIGTERM
	faultOrphaned = "fault-orphaned" // NAME: it leaves a child behind
)

func play(kind string, args []string) int {
	var f struct{ name, data, addr, token, role string }
	fs := flag.NewFlagSet(kind, flag.ContinueOnError)
	fs.StringVar(&f.name, "name", "", "")
	fs.StringVar(&f.name, "id", "", "")
	fs.StringVar(&f.data, "data-dir", "", "")
	fs.StringVar(&f.addr, "http-addr", "", "")
	fs.StringVar(&f.addr, "addr", "", "")
	fs.StringVar(&f.token, "token", "", "")
	fs.StringVar(&f.role, "role", "voter", "")
	for _, ignored := range []string{"raft-addr", "gossip-addr", "disk-stall", "join", "advertise-url", "config", "queen"} {
		fs.String(ignored, "", "")
	}
	fs.Bool("bootstrap", false, "")
	if fs.Parse(args) != nil {
		return 2
	}
	root := filepath.Dir(filepath.Dir(f.data))
	fault := func(name string) bool {
		text, err := os.ReadFile(filepath.Join(root, name))
		return err == nil && string(text) == f.name
	}
	if fault(faultCrash) {
		fmt.Fprintln(os.Stderr, "cannot go on: made to crash")
		return 1
	}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "RBEE_") {
			fmt.Fprintln(os.Stderr, "inherited", kv)
			return 1
		}
	}
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	must(os.MkdirAll(f.data, 0o700))
	me, _ := json.Marshal(fakeMember{Name: f.name, Kind: kind, Role: f.role, Status: "alive"})
	must(os.WriteFile(filepath.Join(f.data, "admin.key"), []byte("the-key\n"), 0o600))
	must(os.WriteFile(filepath.Join(f.data, "member.json"), me, 0o600))
	if fault(faultOrphaned) {
		must(leaveChild())
	}
	if fault(faultDeaf) {
		signal.Ignore(syscall.SIGTERM)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"ready"}`) })
	mux.HandleFunc("/v1/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	mux.HandleFunc("/v2/cluster/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-key" {
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, `{"hive_token":"HT"}`)
	})
	mux.HandleFunc("/v2/cluster", func(w http.ResponseWriter, _ *http.Request) { fakeList(w, root, "queen-rbee", "queens") })
	mux.HandleFunc("/v2/hives", func(w http.ResponseWriter, _ *http.Request) { fakeList(w, root, "rbee-hive", "items") })
	fmt.Fprintln(os.Stderr, f.name, "serves at", f.addr)
	must((&http.Server{Addr: f.addr, Handler: mux}).ListenAndServe()) //nolint:gosec // a fake
	return 0
}

func fakeList(w http.ResponseWriter, root, kind, field string) {
	files, _ := filepath.Glob(filepath.Join(root, "*", "data", "member.json"))
	items := []map[string]any{}
	for _, file := range files {
		var m fakeMember
		data, _ := os.ReadFile(file)
		if json.Unmarshal(data, &m) == nil && m.Kind == kind {
			status := map[string]string{"queen-rbee": "alive", "rbee-hive": "online"}[kind]
			items = append(items, map[string]any{"id": m.Name, "status": status, "role": m.Role, "votes": m.Role == "voter"})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{field: items})
}

func leaveChild() error {
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{Env: os.Environ()})
	if err != nil {
		return err
	}
	return p.Release()
}
