package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
)

// TestWhenABodyIsFetched: an attached run leaves its doorbell a moment, for a detached one
// nobody rings.
func TestWhenABodyIsFetched(t *testing.T) {
	for mode, want := range map[string]time.Duration{hives.Attached: fetchAfter, hives.Detached: 0} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var asked time.Duration
				env := &runEnv{logger: hclog.NewNullLogger(), fetch: func(context.Context, string) ([]byte, error) {
					asked = time.Since(began)
					return []byte("{}"), nil
				}}
				r := env.newRun(hives.DesiredRun{JobID: "j1", Attempt: 1, Mode: mode}, nil)
				if body, err := r.awaitBody(); err != nil || string(body) != "{}" || asked != want {
					t.Fatalf("%v %q after %v", err, body, asked)
				}
			})
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestBodyOfAHungQueenIsAskedElsewhere as soon as the pipes have moved on.
func TestBodyOfAHungQueenIsAskedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueens([]string{"http://hung", "http://next"}, nil, nil)
		c := newCaller("h1", "token", time.Second)
		c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "hung" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})
		began := time.Now()
		broke := make(chan error, 1)
		go func() {
			_, err := c.body(t.Context(), q, "j1")
			broke <- err
		}()
		synctest.Wait()
		q.fail("http://hung")
		if err := <-broke; !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		if body, err := c.body(t.Context(), q, "j1"); err != nil || string(body) != "{}" {
			t.Fatalf("%v %q", err, body)
		}
	})
}
