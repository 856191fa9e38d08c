package clustertest

import (
	"testing"
	"time"
)

func TestAJumpMovesTheWallAlone(t *testing.T) {
	var c Clock
	for _, by := range []time.Duration{time.Hour, -3 * time.Hour} {
		before, wall := c.Now(), c.Now().Unix()
		c.Jump(by)
		after := c.Now()
		if d := after.Unix() - wall - int64(by/time.Second); d < 0 || d > 60 {
			t.Errorf("a jump of %v moved the wall clock by %v", by, time.Duration(after.Unix()-wall)*time.Second)
		}
		if d := after.Sub(before); d < 0 || d > time.Minute {
			t.Errorf("a jump of %v made %v go by", by, d)
		}
	}
}
