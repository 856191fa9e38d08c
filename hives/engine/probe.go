package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"
)

const (
	maxProbeBody = 8 << 20
	propsTimeout = 2 * time.Second
)

// probe asks one process whether it is healthy. A connection of its own for each question: a
// healthy engine may be late on a connection that queues behind a stream.
type probe struct {
	base, path string
	status     int // that says healthy
	key        string
	timing     timing
	patience   time.Duration           // for one answer, once it was healthy
	adopted    bool                    // requests of an earlier agent may still be in it
	resumed    func() int              // how many of them are gone on with
	accept     func(body []byte) error // more that is asked of a good answer; nil for nothing
	keyed      bool                    // it was given the key: nobody else takes it
	alias      string                  // what it was told to call its model; empty: nothing
	doubts     <-chan struct{}         // ask at once
	since      time.Time               // of the first of them
	refused    int                     // connections refused in a row, up to now
}

// probed is the answer to one question.
type probed struct {
	ok    bool
	why   string      // it is not ok
	props engineProps // what it says of itself, with the first ok

	refused int       // connections refused in a row: nobody listens there
	since   time.Time // of the first of them
}

// run asks until ctx ends, one question at a time, and passes every answer to out.
func (p *probe) run(ctx context.Context, out chan<- probed) {
	wait, every, patience := p.timing.firstProbe, p.timing.loadingProbe, p.timing.loadingPatience
	loaded := false
	if p.adopted {
		wait = 0
	}
	for {
		next := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-next.C:
		case <-p.doubts:
		}
		next.Stop()
		if ctx.Err() != nil {
			return
		}
		answer := p.ask(ctx, patience)
		if answer.ok && !loaded && p.adopted {
			answer = p.letGo(ctx)
		}
		if answer.ok && !loaded {
			var err error
			if answer.props, err = p.props(ctx); err != nil {
				answer = probed{why: err.Error()}
			} else {
				loaded = true
				every, patience = p.timing.readyProbe, p.patience
			}
		}
		select {
		case <-ctx.Done():
			return
		case out <- answer:
		}
		if wait = every; answer.refused > 0 { // it is soon known whether it is gone
			wait = min(every, p.timing.loadingProbe)
		}
	}
}

func (p *probe) ask(ctx context.Context, patience time.Duration) probed {
	status, body, err := p.get(ctx, p.path, patience)
	if p.refused++; !errors.Is(err, syscall.ECONNREFUSED) {
		p.refused = 0
	} else if p.refused == 1 {
		p.since = time.Now()
	}
	switch {
	case err != nil:
		return probed{why: err.Error(), refused: p.refused, since: p.since}
	case p.status != anyStatus && status != p.status:
		return probed{why: fmt.Sprintf("%s answered %d: %s", p.path, status, parseFault(body).message)}
	}
	if p.accept != nil {
		if err := p.accept(body); err != nil {
			return probed{why: err.Error()}
		}
	}
	return probed{ok: true}
}

// letGo tells whether the engine works on nothing any more that an earlier agent asked of it,
// but for what is gone on with: its connections ended with it, but a slot is free only when the
// engine says so. One that has no /slots cannot be asked.
func (p *probe) letGo(ctx context.Context) probed {
	busy, ok, err := p.busy(ctx)
	switch {
	case err != nil:
		return probed{why: err.Error()}
	case ok && busy > p.resumed():
		return probed{why: fmt.Sprintf("%d of its slots still work for an earlier agent", busy)}
	}
	return probed{ok: true}
}

// busy counts the slots that work; ok is false where the engine does not tell.
func (p *probe) busy(ctx context.Context) (n int, ok bool, err error) {
	status, body, err := p.get(ctx, "/slots", propsTimeout)
	if err != nil {
		return 0, false, err
	}
	var slots []struct {
		Busy bool `json:"is_processing"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &slots) != nil {
		return 0, false, nil
	}
	for _, s := range slots {
		if s.Busy {
			n++
		}
	}
	return n, true, nil
}

func (p *probe) get(ctx context.Context, path string, patience time.Duration) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if p.key != "" {
		req.Header.Set("Authorization", "Bearer "+p.key)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbeBody))
	return resp.StatusCode, body, err
}
