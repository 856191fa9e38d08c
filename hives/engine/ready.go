package engine

import (
	_ "embed" // ready.yaml
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed ready.yaml
var readyText []byte

// ready are the definitions that ship with the hive, by name. They are not to be changed.
var ready = sync.OnceValue(func() map[string]Spec {
	var specs map[string]Spec
	if err := yaml.Unmarshal(readyText, &specs); err != nil {
		panic("ready.yaml: " + err.Error()) // a test reads it
	}
	return specs
})

// Ready lists the names of the definitions that ship with the hive, sorted.
func Ready() []string { return slices.Sorted(maps.Keys(ready())) }

// Found makes the ready definitions whose program is on PATH, but for those that taken has: the
// config says something of them. missing are the programs of the others.
func Found(taken map[string]Spec) (found []Definition, missing []string, err error) {
	for _, name := range Ready() {
		if _, mentioned := taken[name]; mentioned {
			continue
		}
		program := ready()[name].Command[0]
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
			continue
		}
		d, err := Spec{}.Definition(name)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, d)
	}
	return found, slices.Compact(missing), nil
}

// over lays what was written over the ready definition of that name, key by key. A command of
// one's own stands alone: of the ready one only where and how long to wait for it is left.
func (s Spec) over(r Spec) (Spec, error) {
	own := s.Command != nil
	if own && (s.Binary != "" || s.ExtraArgs != nil) {
		return s, fmt.Errorf("a command of your own has its program and its arguments: leave binary and extra_args out")
	}
	if s.Health == "" {
		s.Health = r.Health
	}
	if s.StartTimeout == 0 {
		s.StartTimeout = r.StartTimeout
	}
	if s.StopSignal == "" {
		s.StopSignal = r.StopSignal
	}
	if s.StopGrace == 0 {
		s.StopGrace = r.StopGrace
	}
	if own {
		return s, nil
	}
	program := r.Command[0]
	if s.Binary != "" {
		program = s.Binary
	}
	path, err := exec.LookPath(program)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return s, fmt.Errorf("%w: install %s, or give the path of its program here", err, r.Command[0])
	}
	s.Command = slices.Concat([]string{literal(path)}, r.Command[1:], s.ExtraArgs)
	env := maps.Clone(r.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, s.Env)
	s.Env = env
	if s.ModelName == "" {
		s.ModelName = r.ModelName
	}
	if s.ModelsFrom == "" {
		s.ModelsFrom = r.ModelsFrom
	}
	if s.Slots == 0 {
		s.Slots = r.Slots
	}
	return s, nil
}
