package engine

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a time.Duration that YAML writes as "30s" or "5m".
type Duration time.Duration

// UnmarshalYAML reads a duration of 0 or more.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		return fmt.Errorf("line %d: %.40q is not a duration: write a number with a unit, such as 30s or 5m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}
