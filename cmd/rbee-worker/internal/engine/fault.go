package engine

import (
	"context"
	"errors"
	"sync/atomic"
)

// Off is the value of a fault that is not wanted.
const Off = -1

// Ways a request is cut short by a fault.
var (
	ErrFault = errors.New("fault-error-after: the engine failed as it was told to")
	ErrDied  = errors.New("fault-die-after: the process is ending")
)

// FaultPlan says which faults to show after how many tokens of all requests together.
type FaultPlan struct {
	DieAfter   int64 // the process ends
	HangAfter  int64 // streams stay open and silent
	ErrorAfter int64 // requests fail
	Die        func()
}

// NoFaults is an engine that works.
func NoFaults() FaultPlan { return FaultPlan{DieAfter: Off, HangAfter: Off, ErrorAfter: Off} }

// Faults counts tokens and breaks when the plan says so.
type Faults struct {
	plan   FaultPlan
	tokens atomic.Int64
}

// NewFaults counts from zero.
func NewFaults(p FaultPlan) *Faults { return &Faults{plan: p} }

// Reserve asks whether one more token may be made, and returns its number, from 1. A hang
// lasts until the context ends.
func (f *Faults) Reserve(ctx context.Context) (int64, error) {
	n := f.tokens.Add(1)
	over := func(limit int64) bool { return limit != Off && n > limit }
	switch {
	case over(f.plan.DieAfter):
		f.plan.Die()
		return n, ErrDied
	case over(f.plan.ErrorAfter):
		return n, ErrFault
	case over(f.plan.HangAfter):
		<-ctx.Done()
		return n, ctx.Err()
	}
	return n, nil
}

// Sent says that token n has left: the last moment of a process that dies after it.
func (f *Faults) Sent(n int64) error {
	if f.plan.DieAfter != Off && n >= f.plan.DieAfter {
		f.plan.Die()
		return ErrDied
	}
	return nil
}
