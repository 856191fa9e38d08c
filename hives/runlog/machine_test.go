package runlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"queen-rbee/hives"
)

// machine drives one log through appends, reconnecting clients, agents that die and ends, next
// to a plain list of what was said.
type machine struct {
	t     *rapid.T
	dir   string
	clock *clock
	store *Store
	log   *Log

	records []said // record i+1
	waiting []string
	end     *hives.Terminal
	clients []*client
	chunks  int
}

type said struct {
	chunks []string // with those that waited
	text   string
	closes bool
}

// client is a reader that reconnects with the last id it has seen.
type client struct {
	form Form
	last uint64
	said []string // data of frames up to the last id
	tail []string // frames since; thrown away with the connection
	mark bool
}

func TestMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		must(rt, err)
		m := &machine{t: rt, dir: dir, clock: newClock()}
		m.store = open(rt, dir, Limits{}, m.clock.now)
		defer func() { m.store.Close() }()
		m.log = create(rt, m.store, Meta{IncludeUsage: true})
		m.clients = []*client{{form: taskForm}, {form: openaiForm}}
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"read":   m.read,
			"die":    m.die,
			"finish": m.finish,
			"rot":    m.rot,
			"":       m.check,
		})
		m.finishAll()
	})
}

func (m *machine) append(t *rapid.T) {
	if m.end != nil {
		t.Skip("ended")
	}
	if len(m.records) == 0 {
		must(t, m.log.Start())
		m.records = append(m.records, said{})
		return
	}
	m.chunks++
	if rapid.IntRange(0, 3).Draw(t, "content") == 0 {
		raw := fmt.Sprintf(`{"choices":[{"index":0,"delta":{}}],"n":%d}`, m.chunks)
		must(t, m.log.Append(json.RawMessage(raw), false, "", false))
		m.waiting = append(m.waiting, raw)
		return
	}
	text := rapid.StringN(0, 20, -1).Draw(t, "text") + strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 0, 5000, readBatch}).Draw(t, "more"))
	closes := rapid.IntRange(0, 5).Draw(t, "closes") == 0
	text = strings.ToValidUTF8(text, "")
	raw := string(chunk(text))
	must(t, m.log.Append(json.RawMessage(raw), true, text, closes))
	m.records = append(m.records, said{append(m.waiting, raw), text, closes})
	m.waiting = nil
}

// read lets a client reconnect and lose its connection again after any number of bytes.
func (m *machine) read(t *rapid.T) {
	m.connect(t, rapid.SampledFrom(m.clients).Draw(t, "client"), true)
}

func (m *machine) connect(t *rapid.T, c *client, breaks bool) {
	c.tail = nil
	s, err := m.log.Stream(c.form, c.last)
	must(t, err)
	defer s.Close()
	out, over := drain(t, s)
	if over != (m.end != nil) {
		t.Fatalf("over %v, end %v", over, m.end)
	}
	if breaks {
		out = out[:rapid.IntRange(0, len(out)).Draw(t, "bytes")]
	}
	for _, f := range parseFrames(out) {
		c.take(t, f)
	}
}

func (c *client) take(t *rapid.T, f frame) {
	if f.comment != "" {
		c.mark = true
		return
	}
	if f.data != "" {
		c.tail = append(c.tail, f.data)
	}
	if f.id == "" {
		return
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(f.id, "1."), 10, 64)
	if err != nil || n != c.last+1 {
		t.Fatalf("%v: %q after %d", c.form, f.id, c.last)
	}
	c.last = n
	c.said = append(c.said, c.tail...)
	c.tail = nil
}

// die is the agent's death, perhaps in the middle of a write.
func (m *machine) die(t *rapid.T) {
	m.store.Close()
	torn := appendRecord(nil, Record{Kind: Content, Seq: uint64(len(m.records)) + 1, Chunks: []Chunk{{Raw: chunk("torn")}}}, []byte("torn"))
	torn = torn[:rapid.IntRange(0, len(torn)-1).Draw(t, "written")]
	if rapid.Bool().Draw(t, "zeros") {
		torn = make([]byte, len(torn))
	}
	b, err := os.ReadFile(m.log.path)
	must(t, err)
	must(t, os.WriteFile(m.log.path, append(b, torn...), 0o600))
	if m.end == nil {
		m.waiting = nil // in memory until the next record
	}
	m.reopen(t)
}

// rot cuts the file anywhere: what is left is a beginning of what was said. Clients that know
// more begin anew.
func (m *machine) rot(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip()
	}
	m.store.Close()
	b, err := os.ReadFile(m.log.path)
	must(t, err)
	header := len(magic) + int(frameSize(b[len(magic):]))
	must(t, os.Truncate(m.log.path, int64(rapid.IntRange(header, len(b)).Draw(t, "left"))))
	m.reopen(t)
	if _, ended := m.log.Terminal(); !ended {
		m.end, m.waiting = nil, nil
	}
	seq := m.log.Seq()
	if seq > uint64(len(m.records)) {
		t.Fatalf("%d records of %d", seq, len(m.records))
	}
	m.records = m.records[:seq]
	for _, c := range m.clients {
		*c = client{form: c.form}
	}
}

func (m *machine) reopen(t *rapid.T) {
	m.store = open(t, m.dir, Limits{}, m.clock.now)
	l, ok := m.store.Get("01JOB", 1)
	if !ok {
		t.Fatal("the log is gone")
	}
	m.log = l
}

func (m *machine) finish(t *rapid.T) {
	if m.end != nil || rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip()
	}
	m.endWith(rapid.SampledFrom([]hives.Outcome{hives.Complete, hives.Failed, hives.Cancelled}).Draw(t, "outcome"))
}

func (m *machine) endWith(outcome hives.Outcome) {
	end, err := m.log.End(hives.Terminal{Outcome: outcome})
	must(m.t, err)
	m.end = &end
}

func (m *machine) check(t *rapid.T) {
	if got := m.log.Seq(); got != uint64(len(m.records)) {
		t.Fatalf("seq %d, want %d", got, len(m.records))
	}
	if end, ended := m.log.Terminal(); ended != (m.end != nil) || ended && (end.Outcome != m.end.Outcome || end.Events != uint64(len(m.records))) {
		t.Fatalf("%+v, want %+v", end, m.end)
	}
	for _, c := range m.clients {
		if want := m.heard(c); strings.Join(c.said, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%v at %d heard\n%q\nwant\n%q", c.form, c.last, c.said, want)
		}
	}
}

// heard is what a client with id c.last should know.
func (m *machine) heard(c *client) (want []string) {
	for i, r := range m.records[:min(c.last, uint64(len(m.records)))] {
		switch {
		case c.form == openaiForm && i == len(m.records)-1 && r.closes && m.end != nil && m.end.Outcome != hives.Complete:
			// the closing chunk of a run that failed is never sent, only its number
		case c.form == openaiForm:
			want = append(want, r.chunks...)
		case i == 0:
			want = append(want, `{"model":"small"}`)
		default:
			want = append(want, fmt.Sprintf(`{"t":%s,"i":%d}`, quote(r.text), i-1))
		}
	}
	if c.last > uint64(len(m.records)) {
		want = append(append(want, m.waiting...), "[DONE]")
	}
	return want
}

func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// finishAll: in the end every client has heard everything.
func (m *machine) finishAll() {
	if m.end == nil {
		m.endWith(hives.Complete)
	}
	for _, c := range m.clients {
		m.connect(m.t, c, false)
		want := uint64(len(m.records))
		if c.form == openaiForm && m.end.Outcome == hives.Complete {
			want++
		}
		if c.last != want || !c.mark {
			m.t.Fatalf("%v stopped at %d of %d, mark %v", c.form, c.last, want, c.mark)
		}
	}
	m.check(m.t)
}
