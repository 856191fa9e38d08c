package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/relay/order"
)

// firstByte measures how much later the first token comes through a queen than from an engine
// that is asked directly, and what of it is the commit of the job.
func firstByte() bench.Family {
	const (
		at   = "added time to first token, warm worker, p50, less 0.5 ms: at the leader, against a commit"
		away = "added time to first token, warm worker, p50, less 0.5 ms: at a follower, against a commit"
	)
	against := "commits of the same requests on the leader, p50"
	rows := []bench.Spec{
		{Name: at, Unit: "ms", Against: against, Goal: bench.AtMost(1)},
		{Name: away, Unit: "ms", Against: against, Goal: bench.AtMost(1)},
	}
	return bench.Family{Name: "first token", Rows: rows, Run: func(ctx context.Context, r *bench.Rounds) error {
		o := options{queens: 3, slots: 4}
		b, err := start(ctx, r.Dir, o)
		if err != nil {
			return err
		}
		defer b.close()
		engine, err := b.engine(ctx, o)
		if err != nil {
			return err
		}
		defer engine.stop()
		leader, err := b.leader(ctx)
		if err != nil {
			return err
		}
		lead, follow := b.cluster.QueenURL(leader), ""
		for _, url := range b.cluster.QueenURLs() {
			if url != lead {
				follow = url
			}
		}
		trials := 200
		if r.Quick {
			trials = 60
		}
		return r.Each(ctx, func(int) error {
			for _, q := range []struct{ row, url string }{{at, lead}, {away, follow}} {
				before, err := b.commits(ctx, lead)
				if err != nil {
					return err
				}
				direct, queen, err := b.firstTokens(ctx, trials, engine.addr, addrOf(q.url))
				if err != nil {
					return err
				}
				after, err := b.commits(ctx, lead)
				if err != nil {
					return err
				}
				added := bench.Quantile(queen, 0.5) - bench.Quantile(direct, 0.5)
				r.Put(q.row, added-0.5, bench.Figure(after.since(before).median()))
			}
			return nil
		})
	}}
}

// firstTokens asks an engine and a queen in turn; times are in ms.
func (b *rig) firstTokens(ctx context.Context, n int, engine, queen string) (direct, through []float64, err error) {
	short := chat()
	short["max_tokens"] = 1
	var conns [2]*asker
	for i, addr := range []string{engine, queen} {
		if conns[i], err = newAsker(ctx, b.request(addr, "POST", "/v1/chat/completions", b.cluster.Key(), short)); err != nil {
			break
		}
	}
	defer func() {
		for _, c := range conns {
			c.close()
		}
	}()
	if err != nil {
		return nil, nil, err
	}
	for range n {
		var took [2]time.Duration
		for i, c := range conns {
			if took[i], err = c.ask(); err != nil {
				return nil, nil, err
			}
		}
		direct, through = append(direct, bench.Millis(took[0])), append(through, bench.Millis(took[1]))
		if err := pause(ctx, 2*time.Millisecond); err != nil { // the slot of the last one is free, the disk is idle
			return nil, nil, err
		}
	}
	return direct, through, nil
}

// asker sends one request again and again over one connection.
type asker struct {
	request order.Request
	conn    net.Conn
	in      *bufio.Reader
}

func newAsker(ctx context.Context, r order.Request) (*asker, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return nil, err
	}
	return &asker{request: r, conn: c, in: bufio.NewReader(c)}, nil
}

func (a *asker) close() {
	if a != nil {
		a.conn.Close()
	}
}

// ask gives the time from the request to the first content, and reads the rest.
func (a *asker) ask() (time.Duration, error) {
	began := time.Now()
	if _, err := io.WriteString(a.conn, a.request.Text); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return 0, fmt.Errorf("%s answered %s: %.300s", a.request.Addr, resp.Status, body)
	}
	var first time.Duration
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		// The role comes with an empty one.
		if _, text, ok := strings.Cut(lines.Text(), `"content":"`); ok && first == 0 && !strings.HasPrefix(text, `"`) {
			first = time.Since(began)
		}
	}
	if first == 0 {
		return 0, errors.Join(fmt.Errorf("%s sent no token", a.request.Addr), lines.Err())
	}
	return first, lines.Err()
}

// histogram is a leader's count of commits by their time.
type histogram struct {
	bounds []float64 // upper, in s
	counts []float64 // up to each
}

// commits reads the histogram of a queen.
func (b *rig) commits(ctx context.Context, url string) (histogram, error) {
	var h histogram
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return h, err
	}
	req.Header.Set("Authorization", "Bearer "+b.cluster.Key())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return h, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), `rbee_commit_seconds_bucket{le="`)
		if !ok {
			continue
		}
		bound, count, _ := strings.Cut(rest, `"} `)
		up, err := strconv.ParseFloat(bound, 64) // the last is +Inf
		if err != nil {
			return h, err
		}
		n, err := strconv.ParseFloat(count, 64)
		if err != nil {
			return h, err
		}
		h.bounds, h.counts = append(h.bounds, up), append(h.counts, n)
	}
	return h, lines.Err()
}

func (h histogram) since(before histogram) histogram {
	out := histogram{bounds: h.bounds}
	for i, n := range h.counts {
		if i < len(before.counts) {
			n -= before.counts[i]
		}
		out.counts = append(out.counts, n)
	}
	return out
}

// median is where half the commits are done, in ms; between two bounds it is taken to lie in
// proportion.
func (h histogram) median() float64 {
	if len(h.counts) == 0 {
		return float64(bench.None)
	}
	half, low, below := h.counts[len(h.counts)-1]/2, 0.0, 0.0
	for i, n := range h.counts {
		if n >= half && n > below {
			return 1000 * (low + (h.bounds[i]-low)*(half-below)/(n-below))
		}
		low, below = h.bounds[i], n
	}
	return float64(bench.None)
}
