package device

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// units in the order they are tried; the longer spelling of a unit stands before its suffix.
var units = []struct {
	suffix string
	factor float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1},
}

// ParseBytes reads a size: a whole number of bytes ("1073741824"), or a number and a unit, with
// or without a space: B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
func ParseBytes(s string) (Bytes, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	number, factor := text, 0.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	bad := fmt.Errorf("%.40q is not a size: write bytes, or a number with a unit, such as 512MiB or 24GiB", s)
	if factor == 0 {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 {
			return 0, bad
		}
		return Bytes(n), nil
	}
	if strings.Trim(number, "0123456789.") != "" { // no signs, exponents, Inf or NaN
		return 0, bad
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f*factor >= math.MaxInt64 {
		return 0, bad
	}
	return Bytes(f * factor), nil
}

// UnmarshalYAML reads a size as ParseBytes does.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: a size must be one value, such as 24GiB", n.Line)
	}
	v, err := ParseBytes(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*b = v
	return nil
}

// String writes the size in the largest binary unit that divides it, as ParseBytes reads it.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		f := int64(units[i].factor)
		if b != 0 && int64(b)%f == 0 {
			return strconv.FormatInt(int64(b)/f, 10) + []string{"KiB", "MiB", "GiB", "TiB"}[i]
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
