package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Recorder takes down what clients do, all on one clock. Its methods may be called by many
// goroutines.
type Recorder struct {
	begun time.Time

	mu  sync.Mutex
	ops []*Op
	out *json.Encoder
	err error // of the first write that failed
}

// NewRecorder writes each operation to out as a line of JSON once it has returned; nil writes
// nothing. Calls of out come one at a time.
func NewRecorder(out io.Writer) *Recorder {
	r := &Recorder{begun: time.Now()}
	if out != nil {
		r.out = json.NewEncoder(out)
	}
	return r
}

// Now is the time on the history's clock in ns, never 0.
func (r *Recorder) Now() int64 { return int64(time.Since(r.begun)) + 1 }

// Call is an operation under way. It belongs to its client's goroutine.
type Call struct {
	r  *Recorder
	op *Op
}

// Begin notes that a client calls now: immediately before the request is sent. It sets op's
// ID and Start.
func (r *Recorder) Begin(op Op) *Call {
	c := &Call{r: r, op: &op}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, c.op)
	op.ID, op.Start, op.End = len(r.ops), r.Now(), 0
	return c
}

// Frame notes an event of a stream as it came.
func (c *Call) Frame(f Frame) {
	f.At = c.r.Now()
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.op.Frames = append(c.op.Frames, f)
}

// End notes that the call is over: as soon as the answer is there. It is called once.
func (c *Call) End(a Answer) {
	end := c.r.Now()
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.op.End != 0 {
		panic(fmt.Sprintf("operation %d ends twice", c.op.ID))
	}
	c.op.End, c.op.Answer = end, a
	c.r.write(c.op)
}

func (r *Recorder) write(op *Op) {
	if r.out != nil && r.err == nil {
		r.err = r.out.Encode(op)
	}
}

// Close writes what has not returned and gives the first error of writing. Nothing may be
// recorded after it.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range r.ops {
		if op.End == 0 {
			r.write(op)
		}
	}
	return r.err
}

// History is a copy of what has been recorded so far, in order of the beginnings.
func (r *Recorder) History() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := make([]Op, len(r.ops))
	for i, op := range r.ops {
		ops[i] = *op
		ops[i].Frames = slices.Clip(op.Frames) // a later frame goes elsewhere
	}
	return ops
}

// maxLine bounds one operation of a file: a list of a hundred thousand jobs fits.
const maxLine = 256 << 20

// Read reads what a Recorder wrote, in order of the beginnings. A last line that was cut, as
// by a kill, is left out.
func Read(in io.Reader) ([]Op, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var ops []Op
	var broken error
	for n := 1; lines.Scan(); n++ {
		if broken != nil {
			return nil, broken
		}
		var op Op
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			broken = fmt.Errorf("line %d: %w", n, err)
			continue
		}
		ops = append(ops, op)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(ops, func(a, b Op) int { return a.ID - b.ID })
	return ops, nil
}
