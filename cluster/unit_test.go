package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

func TestClockIsNeverEarlyAndNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// The truth is the leader's clock; the follower applies its batches late.
		wall := time.Unix(0, 0)
		c := newClock(func() time.Time { return wall })
		epoch := fsm.Epoch{1}
		c.applied(epoch, 0)
		truth, last := fsm.Time(0), fsm.Time(0)
		type late struct{ now fsm.Time }
		var way []late
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			d := rapid.Int64Range(0, 2000).Draw(t, "pass")
			wall, truth = wall.Add(time.Duration(d)), truth+time.Duration(d)
			switch rapid.SampledFrom([]string{"plan", "apply", "read"}).Draw(t, "what") {
			case "plan":
				way = append(way, late{truth})
			case "apply":
				if len(way) > 0 {
					c.applied(epoch, way[0].now)
					way = way[1:]
				}
			}
			got := c.Now()
			if got > truth {
				t.Fatalf("early: %v, it is %v", got, truth)
			}
			if got < last {
				t.Fatalf("went back from %v to %v", last, got)
			}
			last = got
		}
	})
}

func TestClockOfALeaderDoesNotLoseCommits(t *testing.T) {
	wall := time.Unix(0, 0)
	c := newClock(func() time.Time { return wall })
	c.applied(fsm.Epoch{1}, time.Minute)
	c.lead(time.Minute)
	for range 1000 { // a batch planned now is applied a millisecond later
		planned := c.Now()
		wall = wall.Add(time.Millisecond)
		c.applied(fsm.Epoch{1}, planned)
	}
	if got := c.Now(); got != time.Minute+time.Second {
		t.Errorf("after a second of commits it is %v", got)
	}
	c.follow()
	c.applied(fsm.Epoch{2}, time.Second) // a restore: another life, another time
	if got := c.Now(); got != time.Second {
		t.Errorf("in the new epoch it is %v", got)
	}
}

func TestFates(t *testing.T) {
	for err, want := range map[error]fate{
		nil: answered, raft.ErrNotLeader: refused, raft.ErrLeadershipTransferInProgress: refused, raft.ErrEnqueueTimeout: refused,
		raft.ErrLeadershipLost: unknown, raft.ErrRaftShutdown: unknown, raft.ErrAbortedByRestore: unknown, io.ErrShortWrite: unknown,
	} {
		if got := fateOf(err); got != want {
			t.Errorf("fateOf(%v) = %d, want %d", err, got, want)
		}
	}
}

// pair is a connection between a dialer and a listener that shake hands.
func pair(t *testing.T, dialKey, listenKey string, dialer, listener hello) (dialErr, listenErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	done := make(chan error, 1)
	go func() {
		p, peer, err := receive(b, derive(listenKey, "queens"), listener, []string{"before A"})
		if err == nil && (p != forCalls || peer != dialer) {
			err = errors.New("it took the dialer for another")
		}
		done <- err
	}()
	_, dialErr = greet(a, derive(dialKey, "queens"), dialer, forCalls)
	return dialErr, <-done
}

func TestHandshake(t *testing.T) {
	one, two := hello{"queen-1", "A"}, hello{"queen-2", "A"}
	for name, tc := range map[string]struct {
		dialKey, listenKey string
		dialer, listener   hello
		want               error
	}{
		"same":          {"token", "token", one, two, nil},
		"not yet known": {"token", "token", hello{"queen-9", ""}, two, nil},
		"other token":   {"token", "nekot", one, two, errWrongToken},
		"other cluster": {"token", "token", one, hello{"queen-2", "B"}, errOtherCluster},
		"left behind":   {"token", "token", hello{"queen-1", "before A"}, two, errOutlived},
	} {
		d, l := pair(t, tc.dialKey, tc.listenKey, tc.dialer, tc.listener)
		if errors.Is(tc.want, errOutlived) && errors.Is(l, errOtherCluster) {
			l = errOutlived // to the listener it is one of another cluster
		}
		if !errors.Is(d, tc.want) || !errors.Is(l, tc.want) {
			t.Errorf("%s: dialer says %v, listener says %v, want %v", name, d, l, tc.want)
		}
	}
}

// FuzzReceive feeds a listener any bytes: it must refuse them within its bounds.
func FuzzReceive(f *testing.F) {
	var good bytes.Buffer
	good.WriteString(magic + string(forRaft))
	hello{"queen-1", "A"}.write(&good)
	f.Add(good.Bytes())
	f.Add([]byte(magic + "R"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &stub{in: bytes.NewReader(data)}
		if _, _, err := receive(c, derive("token", "queens"), hello{"queen-2", "A"}, nil); err == nil {
			t.Fatal("it was let in without the token")
		}
		if read := len(data) - c.in.Len(); read > 512 {
			t.Fatalf("%d bytes were read before it was proven", read)
		}
	})
}

// stub is a connection whose peer says what is in.
type stub struct {
	net.Conn
	in *bytes.Reader
}

func (s *stub) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *stub) Write(b []byte) (int, error) { return len(b), nil }
func (*stub) SetDeadline(time.Time) error   { return nil }

func TestFramesAreBounded(t *testing.T) {
	var b bytes.Buffer
	if err := writeFrame(&b, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := readFrame(&b); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := readFrame(strings.NewReader("\xff\xff\xff\xff")); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
	if _, err := readFrame(strings.NewReader("\x03\x00\x00\x00abc")); err == nil {
		t.Error("a frame that ends early was taken")
	}
}

// FuzzCalls decodes any bytes as calls and replies: no panic.
func FuzzCalls(f *testing.F) {
	calls, _ := encode([]*wireCall{{Seq: 1, Request: &schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{ID: "a"}}}}})
	replies, _ := encode([]wireReply{{Seq: 1, Fate: answered, Answer: &schedule.Answer{Index: 3}}})
	f.Add(calls)
	f.Add(replies)
	f.Fuzz(func(_ *testing.T, data []byte) {
		var c []wireCall
		_ = decode(data, &c)
		var r []wireReply
		_ = decode(data, &r)
	})
}

// TestEveryCodeSurvivesTheWire keeps errors from becoming text between queens.
func TestEveryCodeSurvivesTheWire(t *testing.T) {
	for _, code := range []string{
		fsm.CodeInvalid, fsm.CodeUnauthenticated, fsm.CodeForbidden, fsm.CodeNotFound, fsm.CodeModelNotFound, fsm.CodeTimeout,
		fsm.CodeTooLarge, fsm.CodeConflict, fsm.CodeStale, fsm.CodeOutputExpired, fsm.CodeEventsExpired, fsm.CodeIdempotencyMismatch,
		fsm.CodeAtCapacity, fsm.CodeWorkerFailed, fsm.CodeDeadlineExceeded, fsm.CodeCancelled, fsm.CodeNoLeader, fsm.CodeNoHiveFits,
		fsm.CodeReplicaBehind, fsm.CodeUnknownOutcome, fsm.CodeInternal,
	} {
		sent := &fsm.Error{Code: code, Message: "why", RetryAfter: 3 * time.Second}
		data, err := encode([]wireReply{handled(7, nil, sent)})
		if err != nil {
			t.Fatal(err)
		}
		var got []wireReply
		if err := decode(data, &got); err != nil || len(got) != 1 {
			t.Fatalf("%s: %v", code, err)
		}
		if got[0].Err == nil || *got[0].Err != *sent || got[0].Seq != 7 || got[0].Fate != answered {
			t.Errorf("sent %+v, got %+v", sent, got[0])
		}
	}
	if r := handled(1, nil, errMoved); r.Fate != refused || r.Err != nil {
		t.Errorf("a handler that did nothing: %+v", r)
	}
	if r := handled(1, nil, errPartly); r.Fate != unknown || r.Err != nil {
		t.Errorf("a handler that did a part: %+v", r)
	}
	if r := handled(1, nil, context.Canceled); r.Fate != unknown {
		t.Errorf("a handler that was broken off: %+v", r)
	}
}

func TestRequestsSurviveTheWire(t *testing.T) {
	sent := schedule.Request{Submit: &schedule.Submit{Within: time.Minute, Job: fsm.Job{
		ID: "01J", Tenant: "t", Model: "m", Priority: fsm.PriorityBatch, Stream: true, Grace: time.Second,
		Labels: []fsm.Label{{Key: "a", Value: "b"}}, Holders: []fsm.Holder{{Queen: "q", Boot: "b"}},
		RequestHash: [32]byte{1, 2, 255}, Body: fsm.Body{Data: []byte{0, 255}, Packed: true, Size: 9},
	}}}
	data, err := encode([]*wireCall{{Seq: 1, Request: &sent}})
	if err != nil {
		t.Fatal(err)
	}
	var got []wireCall
	if err := decode(data, &got); err != nil {
		t.Fatal(err)
	}
	again, err := encode([]*wireCall{{Seq: 1, Request: got[0].Request}})
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("%+v came out as %+v (%v)", sent.Submit, got[0].Request.Submit, err)
	}
	epoch := fsm.Epoch{9, 8, 7}
	data, err = encode([]wireReply{{Answer: &schedule.Answer{Epoch: epoch, Assigned: &schedule.Assignment{Worker: "w", Begin: fsm.Begin{Seq: 3}}}}})
	var replies []wireReply
	if err = errors.Join(err, decode(data, &replies)); err != nil || replies[0].Answer.Epoch != epoch || replies[0].Answer.Assigned.Begin.Seq != 3 {
		t.Errorf("an answer came out as %+v (%v)", replies, err)
	}
}

func TestMonotonicIsForwarded(t *testing.T) {
	l := &guardedLog{LogStore: raft.NewInmemStore()}
	if l.IsMonotonic() {
		t.Error("it says more than the store does")
	}
	dir := t.TempDir()
	s, err := openStorage(dir, false, 1<<20, newDiskGuard(0, time.Now, func(error) {}), nullLog())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if !s.logs.IsMonotonic() {
		t.Error("raft would leave gaps that raft-wal cannot accept")
	}
}

func TestSnapshotIsDueByBytes(t *testing.T) {
	l := &guardedLog{LogStore: raft.NewInmemStore(), guard: newDiskGuard(0, time.Now, func(error) {}), enough: make(chan struct{}, 1)}
	big := make([]byte, snapshotBytes/4)
	for i := range 4 {
		if len(l.enough) != 0 {
			t.Fatalf("due after %d of 4", i)
		}
		if err := l.StoreLog(&raft.Log{Index: uint64(i + 1), Data: big}); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.enough) != 1 {
		t.Error("not due after 256 MiB")
	}
}

func TestTokens(t *testing.T) {
	a, b := MintToken(), MintToken()
	if a == b || len(a) < minToken {
		t.Errorf("minted %q and %q", a, b)
	}
	if HiveToken(a) == HiveToken(b) || strings.Contains(HiveToken(a), a) || sameToken(HiveToken(a), a) {
		t.Error("a hive's token tells the cluster's, or is it")
	}
	if sameToken("", "") || !sameToken(a, a) {
		t.Error("sameToken")
	}
	of := newTokens(a)
	if of.queen != a || of.hive != HiveToken(a) || !of.queenSum.of(a) || !of.hiveSum.of(HiveToken(a)) {
		t.Error("a token is not known again")
	}
	for _, wrong := range []string{"", b, HiveToken(a), a + "x", a[:len(a)-1]} {
		if of.queenSum.of(wrong) {
			t.Errorf("%q is taken for %q", wrong, a)
		}
	}
	if of.hiveSum.of(a) || of.hiveSum.of(HiveToken(b)) || newTokens("").queenSum.of("") {
		t.Error("a token that is none is taken for the hives'")
	}
}

func TestConfigNamesTheField(t *testing.T) {
	good := func() Config {
		c := Default()
		c.Name, c.DataDir, c.HTTPURL, c.Plan = "q", "d", "http://127.0.0.1:1", schedule.Plan
		return c
	}
	if c := good(); c.Validate() != nil {
		t.Fatal(c.Validate())
	}
	for field, spoil := range map[string]func(*Config){
		"name": func(c *Config) { c.Name = "a b" }, "data-dir": func(c *Config) { c.DataDir = "" },
		"boot": func(c *Config) { c.Boot = "x" }, "raft-addr": func(c *Config) { c.RaftAddr = "nope" },
		"gossip-addr": func(c *Config) { c.GossipAddr = "1" }, "http-url": func(c *Config) { c.HTTPURL = "127.0.0.1:1" },
		"advertise-host": func(c *Config) { c.RaftAddr = "0.0.0.0:1" }, "join": func(c *Config) { c.Join = []string{"ftp://x"} },
		"role": func(c *Config) { c.Role = 9 }, "token": func(c *Config) { c.Token = "short" }, "plan": func(c *Config) { c.Plan = nil },
		"timings.lease": func(c *Config) { c.Timings.Lease = time.Hour }, "timings.election": func(c *Config) { c.Timings.Election = 1 },
		"bounds.queue": func(c *Config) { c.Bounds.Reserved = c.Bounds.Queue }, "bounds.entry-bytes": func(c *Config) { c.Bounds.EntryBytes = 1 << 30 },
		"park": func(c *Config) { c.Park = 0 },
	} {
		c := good()
		spoil(&c)
		var ce *ConfigError
		if err := c.Validate(); !errors.As(err, &ce) || ce.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestParkingEndsAWhileAfterTheLastKnownLeader(t *testing.T) {
	wall := time.Unix(1000, 0)
	now := func() time.Time { return wall }
	f := &forwarder{park: 10 * time.Second, now: now, board: newBoard(now)}
	pass := func(d time.Duration) { wall = wall.Add(d) }
	check := func(what string, start time.Time, want time.Duration) {
		t.Helper()
		if got := f.patience(start); got != want {
			t.Errorf("%s: patience is %v, want %v", what, got, want)
		}
	}
	pass(3 * time.Second)
	check("a queen that never knew a leader, 3 s after its start", wall, 7*time.Second)
	f.board.set("queen-2", "addr", 2)
	pass(time.Hour)
	check("with a leader that cannot be reached", wall, 10*time.Second)
	f.board.set("", "", 2)
	pass(4 * time.Second)
	check("4 s after the loss", wall, 6*time.Second)
	pass(time.Minute)
	if got := f.patience(wall); got > 0 {
		t.Errorf("a minute after the loss a request is parked for %v", got)
	}
}

func TestPathologicalCalls(t *testing.T) {
	f := &forwarder{park: time.Second, now: time.Now, board: newBoard(time.Now), leader: func() *leadership { return nil }, closed: make(chan struct{})}
	_, err := f.send(t.Context(), wireCall{Body: make([]byte, maxFrame)}, true)
	if asError(err).Code != fsm.CodeTooLarge {
		t.Errorf("a call no frame can hold: %v", err)
	}
	close(f.closed)
	if _, err = f.send(t.Context(), wireCall{Method: "x"}, true); asError(err).Code != fsm.CodeNoLeader {
		t.Errorf("a call at a queen that has ended: %v", err)
	}
}
