package fsm

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Time is cluster time: a monotone duration since the cluster's beginning. It runs on
// through changes of leader and never jumps, whatever the wall clocks do.
type Time = time.Duration

// Millis is wall time in Unix milliseconds. It is for people; no decision reads it.
type Millis = int64

// Epoch names one life of a cluster's state: 128 random bits minted at bootstrap and at
// every restore, compared for equality only. The zero Epoch is a state not yet born.
type Epoch [16]byte

// String is the epoch in 32 hex digits, the form every wire uses.
func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// IsZero tells a state that no genesis has reached.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// ParseEpoch reads the form String writes.
func ParseEpoch(s string) (Epoch, error) {
	var e Epoch
	if len(s) != 2*len(e) {
		return e, fmt.Errorf("epoch %q: want %d hex digits", s, 2*len(e))
	}
	_, err := hex.Decode(e[:], []byte(s))
	return e, err
}

// MarshalText implements encoding.TextMarshaler.
func (e Epoch) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Epoch) UnmarshalText(b []byte) (err error) {
	*e, err = ParseEpoch(string(b))
	return err
}

// Sum is 128 bits of hash; sums of rows add up (mod 2^128) to the hash of a state.
type Sum struct{ Hi, Lo uint64 }

// String is the sum in 32 hex digits.
func (s Sum) String() string { return fmt.Sprintf("%016x%016x", s.Hi, s.Lo) }

// Level is the version of the format that a state may use. A leader emits only what the
// state's level knows; a queen that cannot read the state's level is refused.
type Level uint16

// Levels of the format: 1 is the first; 2 has the catalog of models.
const (
	LevelFirst   Level = 1
	LevelCatalog Level = 2
)

// CurrentLevel is the highest level this build can read.
const CurrentLevel = LevelCatalog

// word is the n-th word of an enum that begins at one.
func word[T ~uint8](v T, words ...string) string {
	if v == 0 || int(v) > len(words) {
		return fmt.Sprintf("unknown(%d)", uint8(v))
	}
	return words[v-1]
}
