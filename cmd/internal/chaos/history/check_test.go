package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
)

// book writes a history by hand: each operation takes from one tick to the next.
type book struct {
	ops []history.Op
	now int64
}

func (b *book) op(op history.Op, a history.Answer) *history.Op {
	b.now += 10
	op.ID, op.Start, op.End, op.Answer = len(b.ops)+1, b.now, b.now+5, a
	if op.Queen == "" {
		op.Queen = "queen-1"
	}
	if op.Client == "" {
		op.Client = "client"
	}
	for i := range op.Frames {
		op.Frames[i].At = b.now + 5
	}
	b.ops = append(b.ops, op)
	return &b.ops[len(b.ops)-1]
}

func ok(a history.Answer) history.Answer { a.Outcome, a.Status = history.OK, 200; return a }

func refused(status int, code string) history.Answer {
	return history.Answer{Outcome: history.Refused, Status: status, Code: code}
}

var lost = history.Answer{Outcome: history.Unknown, Code: "lost: reset"}

var bees = &history.Task{Model: "m", Prompt: "bees", MaxTokens: 3, Seed: 7}

// reference is what the engine says to bees.
func reference(t history.Task) (string, bool) { return "a b c", t.Prompt == "bees" }

func (b *book) submit(key string, a history.Answer) *history.Op {
	return b.op(history.Op{Kind: history.Submit, Key: key, Task: bees}, a)
}

func row(id, state string, attempt uint32) history.Row {
	r := history.Row{ID: id, State: state, Attempt: attempt}
	switch state {
	case "running":
		r.Worker = "w1"
	case "complete":
		r.FinishReason = "stop"
	case "failed", "cancelled":
		r.Error = &struct {
			Code string `json:"code"`
		}{map[string]string{"failed": "worker_failed", "cancelled": "cancelled"}[state]}
	}
	return r
}

func (b *book) show(strong bool, r history.Row) *history.Op {
	return b.op(history.Op{Kind: history.Show, Job: r.ID, Strong: strong}, ok(history.Answer{Row: &r}))
}

func (b *book) cancel(id string, a history.Answer) *history.Op {
	return b.op(history.Op{Kind: history.Cancel, Job: id}, a)
}

func (b *book) list(rows ...history.Row) *history.Op {
	return b.op(history.Op{Kind: history.List, Strong: true}, ok(history.Answer{Rows: rows, Pages: 1}))
}

// frames reads "event id data" separated by semicolons.
func frames(text string) (all []history.Frame) {
	for f := range strings.SplitSeq(text, ";") {
		event, rest, _ := strings.Cut(strings.TrimSpace(f), " ")
		id, data, _ := strings.Cut(rest, " ")
		if id == "-" {
			id = ""
		}
		all = append(all, history.Frame{Event: event, ID: id, Data: data})
	}
	return all
}

func (b *book) stream(client, id, after, text string) *history.Op {
	return b.op(history.Op{Client: client, Kind: history.Stream, Job: id, LastID: after, Frames: frames(text)}, ok(history.Answer{}))
}

const (
	begins = `queued - {}; assigned - {"attempt":1}; started 1.1 {}; token 1.2 {"t":"a ","i":0}`
	again  = `retry - {"attempt":2,"from_i":0}; assigned - {"attempt":2}; started 2.1 {}; token 2.2 {"t":"a ","i":0}; token 2.3 {"t":"b ","i":1}`
	ends   = `token 2.4 {"t":"c","i":2}; end 2.5 {"finish_reason":"stop"}`
)

// good is a history in which much goes wrong and every promise is kept: job A is asked for
// until it is accepted, loses an attempt and completes; B is cancelled in the queue; what
// became of C's submission and of a cancel of A nobody knows; D is refused.
func good() *book {
	b := &book{}
	b.list(row("before", "complete", 1))
	b.submit("a", lost)
	b.submit("a", history.Answer{Outcome: history.Unknown, Status: 503, Code: "unknown_outcome", JobID: "A2"})
	b.submit("a", ok(history.Answer{JobID: "A"}))
	b.submit("c", lost)
	b.submit("d", refused(429, "system_at_capacity"))
	b.show(true, row("A", "running", 1))
	b.stream("reader", "A", "", begins)
	b.show(true, row("A", "queued", 1))
	b.op(history.Op{Kind: history.Workers}, ok(history.Answer{Workers: []history.Worker{{ID: "w1", Slots: 1, Busy: 1}}}))
	b.op(history.Op{Kind: history.List, Filter: "state=running"}, ok(history.Answer{Rows: []history.Row{row("A", "running", 2)}, Pages: 1}))
	b.stream("reader", "A", "1.2", again)
	b.op(history.Op{Kind: history.Stream, Client: "reader", Job: "A", LastID: "2.3"}, refused(503, "no_leader"))
	b.show(false, row("A", "running", 1)) // an old view
	b.submit("b", ok(history.Answer{JobID: "B"}))
	b.cancel("A", lost)
	b.cancel("B", ok(history.Answer{Row: new(row("B", "cancelled", 0))}))
	b.op(history.Op{Kind: history.Cancel, Job: "A2"}, refused(404, "not_found"))
	b.stream("reader", "A", "2.3", ends)
	b.stream("other", "A", "", `started 2.1 {}; token 2.2 {"t":"a ","i":0}; token 2.3 {"t":"b ","i":1}; `+ends)
	b.stream("reader", "B", "", `error 0.1 {"code":"cancelled"}`)
	b.op(history.Op{Kind: history.Result, Job: "A"}, ok(history.Answer{Text: "a b c", Reason: "stop"}))
	b.op(history.Op{Kind: history.Hash, Queen: "queen-1"}, ok(history.Answer{Hash: "x", HashAt: 9, Epoch: "e"}))
	b.op(history.Op{Kind: history.Hash, Queen: "queen-2"}, ok(history.Answer{Hash: "x", HashAt: 9, Epoch: "e"}))
	b.op(history.Op{Kind: history.Hash, Queen: "queen-2"}, ok(history.Answer{Hash: "y", HashAt: 8, Epoch: "e"}))
	b.show(true, row("A", "complete", 2))
	b.list(row("A", "complete", 2), row("B", "cancelled", 0), row("C", "complete", 1), row("before", "complete", 1))
	open := b.op(history.Op{Kind: history.Show, Job: "A", Strong: true}, history.Answer{})
	open.End = 0
	return b
}

func check(b *book) history.Verdict {
	return history.Check(b.ops, history.Options{Reference: reference})
}

// A history that keeps every promise is found to, and every rule had something to look at.
func TestAGoodHistoryPasses(t *testing.T) {
	v := check(good())
	for _, x := range v.Violations {
		t.Error(x)
	}
	for _, rule := range history.Rules() {
		if v.Checked[rule] == 0 {
			t.Errorf("nothing was held against %q", rule)
		}
	}
	if len(v.Undecided) > 0 {
		t.Errorf("undecided: %v", v.Undecided)
	}
}

// find gives the nth operation that fits, to be changed.
func (b *book) find(kind history.Kind, job string, nth int) *history.Op {
	for i := range b.ops {
		if op := &b.ops[i]; op.Kind == kind && op.Asked() == job {
			if nth--; nth == 0 {
				return op
			}
		}
	}
	panic(fmt.Sprintf("no %s of %q", kind, job))
}

// Every case breaks one promise of the good history, and the rule that guards it says so,
// naming the job.
func TestEachRuleBites(t *testing.T) {
	final := func(b *book) *history.Op { return b.find(history.List, "", 3) }
	other := `started 2.1 {}; token 2.2 {"t":"a ","i":0}; token 2.3 {"t":"b ","i":1}; `
	for _, tc := range []struct {
		name, rule, job string
		change          func(b *book)
	}{
		{"a job never ends", history.Ended, "C", func(b *book) { final(b).Rows[2] = row("C", "running", 1) }},
		{"an accepted job is forgotten", history.Ended, "B", func(b *book) { final(b).Rows = slices.Delete(final(b).Rows, 1, 2) }},
		{"nobody looks whether it ended", history.Ended, "E", func(b *book) { b.submit("e", ok(history.Answer{JobID: "E"})) }},

		{"two ends in two lists", history.Once, "A", func(b *book) { final(b).Rows[0] = row("A", "failed", 2) }},
		{"a stream tells another end", history.Once, "A", func(b *book) { b.stream("third", "A", "2.4", `error 2.5 {"code":"worker_failed"}`) }},
		{"a stream tells failed for cancelled", history.Once, "B", func(b *book) { b.stream("third", "B", "", `error 0.1 {"code":"worker_failed"}`) }},
		{"usage differs", history.Once, "A", func(b *book) {
			for n := range 2 {
				r := row("A", "complete", 2)
				r.Usage = &struct {
					CompletionTokens int `json:"completion_tokens"`
				}{3 + n}
				b.show(false, r)
			}
		}},
		{"ended and runs again", history.Once, "A", func(b *book) { b.show(true, row("A", "running", 2)) }},
		{"the end of an older attempt", history.Once, "A", func(b *book) {
			b.stream("third", "A", "", `started 1.1 {}; token 1.2 {"t":"a ","i":0}; error 1.3 {"code":"worker_failed"}`)
		}},
		{"ends under two ids", history.Once, "A", func(b *book) { b.stream("third", "A", "", other+`end 2.4 {"finish_reason":"stop"}`) }},

		{"a gap", history.Whole, "A", func(b *book) { b.find(history.Stream, "A", 4).Frames[0].ID = "2.5" }},
		{"a repeat over a reconnect", history.Whole, "A", func(b *book) {
			b.find(history.Stream, "A", 4).Frames = frames(`token 2.3 {"t":"b ","i":1}; ` + ends)
		}},
		{"something after the end", history.Whole, "A", func(b *book) { b.stream("other", "A", "2.5", `token 2.6 {"t":"d","i":3}`) }},
		{"two attempts mixed", history.Whole, "A", func(b *book) {
			b.find(history.Stream, "A", 2).Frames = frames(strings.TrimPrefix(again, `retry - {"attempt":2,"from_i":0}; `))
		}},
		{"a record with two texts", history.Whole, "A", func(b *book) {
			b.find(history.Stream, "A", 5).Frames[1].Data = `{"t":"A ","i":0}`
		}},
		{"text that the engine never said", history.Whole, "A", func(b *book) {
			for _, n := range []int{2, 5} {
				s := b.find(history.Stream, "A", n)
				for i := range s.Frames {
					s.Frames[i].Data = strings.Replace(s.Frames[i].Data, "b ", "x ", 1)
				}
			}
		}},
		{"an end too early", history.Whole, "A", func(b *book) {
			b.find(history.Stream, "A", 4).Frames = frames(`end 2.4 {"finish_reason":"stop"}`)
		}},
		{"the result is another", history.Whole, "A", func(b *book) { b.find(history.Result, "A", 1).Text = "a b" }},
		{"an id that nobody sent", history.Whole, "A", func(b *book) { b.find(history.Stream, "A", 2).LastID = "1.3" }},
		{"on after an error of the stream", history.Whole, "A", func(b *book) {
			b.stream("third", "A", "", `started 2.1 {}; error - {"scope":"stream","code":"output_expired"}; token 2.2 {"t":"a ","i":0}`)
		}},

		{"a worker is busier than it can be", history.Slots, "", func(b *book) { b.find(history.Workers, "", 1).Workers[0].Busy = 2 }},
		{"two jobs run on one slot", history.Slots, "", func(b *book) {
			running := b.find(history.List, "", 2)
			running.Rows = append(running.Rows, row("C", "running", 1))
		}},

		{"an attempt after the last", history.Old, "A", func(b *book) {
			b.stream("third", "A", "", `assigned - {"attempt":3}`)
		}},
		{"a strong read behind a local one", history.Old, "C", func(b *book) {
			b.ops = b.ops[:len(b.ops)-2]
			b.show(false, row("C", "running", 3))
			b.show(true, row("C", "running", 2))
		}},
		{"one connection goes back", history.Old, "A", func(b *book) {
			b.stream("third", "A", "", `assigned - {"attempt":2}; assigned - {"attempt":1}`)
		}},

		{"two hashes", history.Equal, "", func(b *book) { b.ops[23].Hash = "z" }},

		{"accepted and 404", history.Refusals, "A", func(b *book) {
			b.op(history.Op{Kind: history.Show, Job: "A"}, refused(404, "not_found"))
		}},
		{"accepted and 404 in the stream", history.Refusals, "A", func(b *book) {
			b.stream("third", "A", "", `error - {"scope":"stream","code":"events_expired"}`)
		}},
		{"refused and there", history.Refusals, "C", func(b *book) {
			b.ops[5].JobID = "C"
		}},
		{"refused and there, though nobody was told of it", history.Refusals, "", func(b *book) {
			final(b).Rows = append(final(b).Rows, row("D", "complete", 1))
		}},
		{"a key makes two jobs", history.Refusals, "A3", func(b *book) { b.submit("a", ok(history.Answer{JobID: "A3"})) }},
		{"one request is called two", history.Refusals, "", func(b *book) { b.submit("a", refused(422, "idempotency_mismatch")) }},

		{"a strong read has lost what was acknowledged", history.Linear, "", func(b *book) {
			b.op(history.Op{Kind: history.Show, Job: "B", Strong: true}, refused(404, "not_found"))
		}},
		{"a strong read is older than a stream's end", history.Linear, "", func(b *book) { b.show(true, row("A", "running", 2)) }},
		{"a strong read goes back from running to queued", history.Linear, "", func(b *book) {
			b.find(history.Show, "A", 2).Row = new(row("A", "queued", 0))
		}},
		{"a cancelled job is retried", history.Linear, "", func(b *book) {
			b.ops = b.ops[:len(b.ops)-2]
			b.submit("e", ok(history.Answer{JobID: "E"}))
			r := row("E", "running", 1)
			r.Ending = "cancelled"
			b.cancel("E", ok(history.Answer{Row: &r}))
			b.show(true, row("E", "queued", 1))
		}},
		{"a cancel is forgotten", history.Linear, "", func(b *book) {
			b.ops = b.ops[:len(b.ops)-2]
			b.submit("e", ok(history.Answer{JobID: "E"}))
			b.cancel("E", ok(history.Answer{}))
			b.show(true, row("E", "running", 1))
		}},
		{"cancelled by nobody", history.Linear, "", func(b *book) {
			b.ops = b.ops[:len(b.ops)-1]
			b.submit("e", ok(history.Answer{JobID: "E"}))
			b.show(true, row("E", "cancelled", 1))
		}},
		{"the same key makes another job", history.Linear, "", func(b *book) { b.submit("b", ok(history.Answer{JobID: "B2"})) }},
		{"a job that the key did not make is there", history.Linear, "", func(b *book) { b.show(true, row("A2", "queued", 0)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := good()
			tc.change(b)
			v := check(b)
			for _, x := range v.Violations {
				if x.Rule == tc.rule && x.Job == tc.job && len(x.Ops) > 0 && strings.Contains(x.String(), "#") {
					return
				}
			}
			t.Errorf("the violations are %v", v.Violations)
		})
	}
}

// What nobody knows is no ground for blame: these differ from the breaches above by what a
// client cannot tell.
func TestWhatIsUnknownIsNoBreach(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(b *book)
	}{
		{"an unknown submission took no effect", func(b *book) {
			final := b.find(history.List, "", 3)
			final.Rows = slices.Delete(final.Rows, 2, 3)
		}},
		{"a lost cancel took effect", func(b *book) {
			b.submit("e", ok(history.Answer{JobID: "E"}))
			b.cancel("E", lost)
			b.show(true, row("E", "cancelled", 0))
		}},
		{"a lost cancel took effect late", func(b *book) {
			b.submit("e", ok(history.Answer{JobID: "E"}))
			b.cancel("E", lost)
			b.show(true, row("E", "queued", 0))
			b.show(true, row("E", "running", 1))
			b.show(true, row("E", "cancelled", 1))
		}},
		{"it had failed before the cancel", func(b *book) {
			b.submit("e", ok(history.Answer{JobID: "E"}))
			b.cancel("E", ok(history.Answer{}))
			b.show(true, row("E", "failed", 1))
		}},
		{"it was complete before the cancel came", func(b *book) {
			b.submit("e", ok(history.Answer{JobID: "E"}))
			r := row("E", "running", 1)
			r.Ending = "cancelled"
			b.cancel("E", ok(history.Answer{Row: &r}))
			b.show(true, row("E", "complete", 1))
		}},
		{"an attached job is given up", func(b *book) {
			b.submit("e", ok(history.Answer{JobID: "E"})).Attached = true
			b.show(true, row("E", "cancelled", 0))
		}},
		{"an answer comes late", func(b *book) {
			show := b.show(true, row("A", "running", 2)) // while the end was committed
			show.Start = b.find(history.Stream, "A", 4).Start
		}},
		{"the stream says that it cannot go on", func(b *book) {
			b.stream("third", "A", "", `started 2.1 {}; error - {"scope":"stream","code":"output_expired"}`)
		}},
		{"a reader begins anew", func(b *book) {
			b.stream("reader", "A", "", `started 2.1 {}; token 2.2 {"t":"a ","i":0}`)
		}},
		{"a reader goes back", func(b *book) { b.stream("reader", "A", "2.4", `end 2.5 {"finish_reason":"stop"}`) }},
		{"another key, another request", func(b *book) {
			b.submit("a", refused(422, "idempotency_mismatch")).Task = &history.Task{Prompt: "wasps"}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := good()
			tc.change(b)
			if b.ops[len(b.ops)-1].Kind != history.List { // everything has to be seen to end
				rows := b.find(history.List, "", 3).Rows
				for _, op := range b.ops {
					if op.Row != nil && op.Row.ID == "E" && op.Row.Ended() {
						rows = append(slices.Clone(rows), *op.Row)
					}
				}
				b.list(rows...)
			}
			for _, x := range check(b).Violations {
				t.Error(x)
			}
		})
	}
}

// What is kept no longer may be gone.
func TestAfterItsTimeAJobMayBeForgotten(t *testing.T) {
	b := good()
	b.now += int64(time.Hour)
	b.op(history.Op{Kind: history.Show, Job: "A", Strong: true}, refused(404, "not_found"))
	b.list()
	if v := history.Check(b.ops, history.Options{Retain: time.Minute}); len(v.Violations) > 0 {
		t.Errorf("%v", v.Violations)
	}
	if v := history.Check(b.ops, history.Options{Retain: 2 * time.Hour}); len(v.Violations) == 0 {
		t.Error("it was not to be forgotten yet")
	}
}

// A search that finds no time says so and accuses nobody.
func TestNoTimeIsNoProof(t *testing.T) {
	v := history.Check(good().ops, history.Options{Patience: 1})
	if len(v.Violations) > 0 || len(v.Undecided) == 0 {
		t.Errorf("violations %v, undecided %v", v.Violations, v.Undecided)
	}
}
