package batch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"queen-rbee/cmd/rbee-keeper/client"
)

// Config of a run.
type Config struct {
	Client      *client.Client
	File        string                     // of tasks
	Defaults    map[string]json.RawMessage // fields of a task that lines need not repeat
	Out         string                     // file of results; "" for Results
	Results     io.Writer
	Concurrency int

	// Progress is told after every result, and before the first; by one goroutine at a time.
	// Notice is told in words what the run waits for, by any.
	Progress func(Tally)
	Notice   func(string)
}

// Tally counts lines.
type Tally struct{ Lines, Done, Failed int } // Done has the failed ones in it

// BadLines are all mistakes that were found in the file, the first few of them named.
type BadLines struct {
	Count int
	First []*LineError
}

const badTold = 20

func (e *BadLines) Error() string {
	text := fmt.Sprintf("%d lines are no tasks; nothing was submitted", e.Count)
	if e.Count == 1 {
		text = "one line is no task; nothing was submitted"
	}
	for _, l := range e.First {
		text += "\n  " + l.Error()
	}
	if e.Count > len(e.First) {
		text += "\n  ..."
	}
	return text
}

// Run runs the file to its end. An error means that it was stopped before: a *BadLines
// before it began, the client's when no queen can answer or the key is not good, ctx's cause.
// Lines that fail by themselves are counted and are no error.
func Run(ctx context.Context, cfg Config) (Tally, error) {
	total, digest, err := inspect(cfg)
	if err != nil {
		return Tally{}, err
	}
	j, err := openJournal(cfg.Out, digest, cfg.Results)
	if err != nil {
		return Tally{}, err
	}
	r := &run{cfg: cfg, journal: j, tally: Tally{Lines: total, Done: len(j.done), Failed: j.bad}}
	cfg.Progress(r.tally)
	err = r.all(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return r.tally, errors.Join(err, j.close(err == nil))
}

// inspect reads the whole file once: how many tasks there are, and what they are.
func inspect(cfg Config) (total int, digest string, err error) {
	f, err := os.Open(cfg.File)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	bad := &BadLines{}
	for l, err := range lines(f, cfg.Defaults) {
		var wrong *LineError
		switch {
		case errors.As(err, &wrong):
			if bad.Count++; len(bad.First) < badTold {
				bad.First = append(bad.First, wrong)
			}
		case err != nil:
			return 0, "", err
		default:
			total++
			fmt.Fprintf(h, "%d %s\n", l.number, l.body)
		}
	}
	if bad.Count > 0 {
		return 0, "", bad
	}
	return total, hex.EncodeToString(h.Sum(nil)), nil
}

// run is one Run under way.
type run struct {
	cfg     Config
	journal *journal

	mu    sync.Mutex // a result is written, counted and told in one go
	tally Tally
}

// all runs what is not done yet, until a failure that the next line would meet too.
func (r *run) all(parent context.Context) error {
	f, err := os.Open(r.cfg.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	g, ctx := errgroup.WithContext(parent)
	g.SetLimit(r.cfg.Concurrency)
	for l, err := range lines(f, r.cfg.Defaults) {
		if err != nil {
			g.Go(func() error { return fmt.Errorf("%s was changed while it was read: %w", r.cfg.File, err) })
			break
		}
		if r.journal.done[l.number] {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return r.one(ctx, l) })
	}
	return cmp.Or(g.Wait(), parent.Err())
}

// one brings a line to its result.
func (r *run) one(ctx context.Context, l line) error {
	result := Result{Line: l.number, ID: l.id}
	key := r.journal.key(l)
	for ctx.Err() == nil {
		a, err := r.cfg.Client.SubmitBody(ctx, l.body, key)
		if err == nil {
			result.JobID = a.JobID
			err = r.follow(ctx, &result)
		}
		if err == nil {
			return r.finish(result)
		}
		switch wait, own := judge(err); {
		case wait > 0 && ctx.Err() == nil:
			r.cfg.Notice(fmt.Sprintf("line %d waits %s: %v", l.number, wait, err))
			pause(ctx, wait)
		case own == nil:
			r.giveUp(ctx, result.JobID)
			return err
		default:
			result.Error = own
			return r.finish(result)
		}
	}
	return ctx.Err()
}

// follow reads a job to its end.
func (r *run) follow(ctx context.Context, result *Result) error {
	var text client.Transcript
	for ev, err := range r.cfg.Client.Follow(ctx, result.JobID).Events() {
		if err != nil {
			return err
		}
		text.Add(ev)
		switch ev.Kind {
		case client.End:
			d := ev.Data
			result.Result = &client.Result{
				Text: text.Text(), FinishReason: d.FinishReason, Usage: d.Usage,
				QueuedMS: d.QueuedMS, TTFTMS: d.TTFTMS, TotalMS: d.TotalMS,
			}
		case client.Failure:
			result.Error = &client.JobError{Code: ev.Data.Code, Message: ev.Data.Message}
		}
	}
	return nil
}

// giveUp cancels what was accepted for a run that nobody can take up again.
func (r *run) giveUp(ctx context.Context, job string) {
	if job == "" || r.journal.resumable() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := r.cfg.Client.Cancel(ctx, job); err != nil {
		r.cfg.Notice(fmt.Sprintf("job %s could not be cancelled: %v", job, err))
	}
}

// finish writes a result and counts it.
func (r *run) finish(result Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.journal.append(result); err != nil {
		return err
	}
	r.tally.Done++
	if result.Error != nil {
		r.tally.Failed++
	}
	r.cfg.Progress(r.tally)
	return nil
}

// judge tells what to do about an error: wait and ask again, call it the line's own failure,
// or neither, which ends the run.
func judge(err error) (wait time.Duration, own *client.JobError) {
	var refusal *client.Error
	var stream *client.StreamError
	var violation *client.Violation
	switch {
	case errors.As(err, &stream):
		return 0, &client.JobError{Code: stream.Code, Message: stream.Message}
	case errors.As(err, &violation):
		return 0, &client.JobError{Code: "stream_broken", Message: violation.Error()}
	case !errors.As(err, &refusal):
		return 0, nil
	}
	busy := refusal.Status == http.StatusTooManyRequests || refusal.Code == "too_many_requests" || refusal.Code == "draining"
	switch {
	case busy:
		return max(time.Second, refusal.RetryAfter), nil
	case refusal.Status == http.StatusUnauthorized, refusal.Status == http.StatusForbidden:
		return 0, nil
	case refusal.Status < 500, refusal.Code == "no_hive_fits":
		return 0, &client.JobError{Code: refusal.Code, Message: refusal.Detail}
	}
	return 0, nil
}

// pause waits, less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
