package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// generation is one process of a worker as those see it who use it.
type generation struct {
	number uint64
	ctx    context.Context // ends with the process
	end    context.CancelCauseFunc
	began  time.Time
	bytes  atomic.Int64 // when bytes last arrived on a stream, in ns after began; 0: never
}

func newGeneration(number uint64) *generation {
	g := &generation{number: number, began: time.Now()}
	g.ctx, g.end = context.WithCancelCause(context.Background())
	return g
}

// lastBytes returns when bytes last arrived on a stream, began if never.
func (g *generation) lastBytes() time.Time { return g.began.Add(time.Duration(g.bytes.Load())) }
