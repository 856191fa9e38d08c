package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

func TestCallsFailOver(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for _, tc := range []struct {
		name  string
		fault fault
	}{
		{"drop", fault{Drop: true}},
		{"no leader", fault{Status: 503, Code: "no_leader"}},
		{"proxy", fault{Status: 502}},
		{"unknown outcome", fault{Status: 503, Code: "unknown_outcome"}},
		{"answer lost", fault{DropAfter: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := clienttest.New(t, 2)
			c := newClient(t, append([]string{dead.URL}, f.URLs()...))
			f.Queens[0].Fail(tc.fault)
			a, err := c.Submit(background(t), task(1), "")
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Jobs()) != 1 || f.Jobs()[0].ID != a.JobID {
				t.Errorf("jobs %v", f.Jobs())
			}
			if _, err := c.Job(background(t), a.JobID); err != nil {
				t.Error(err)
			}
			if s := f.Seen(); !strings.HasPrefix(s[len(s)-1], "queen-2") {
				t.Errorf("did not stay with the queen that answered: %v", s)
			}
		})
	}
}

// TestNeverTwice: what is not safe to repeat is not repeated, unless it cannot have been done.
func TestNeverTwice(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault fault
		sent  int
	}{
		{"answer lost", fault{DropAfter: true}, 1},
		{"unknown outcome", fault{Status: 503, Code: "unknown_outcome"}, 1},
		{"bad gateway", fault{Status: 502}, 1},
		{"no leader", fault{Status: 503, Code: "no_leader"}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c := setup(t, 2)
			f.Answer["POST /v2/cluster/transfer"] = map[string]string{"leader": "queen-2"}
			f.Queens[0].Fail(tc.fault)
			_, err := c.Transfer(background(t), "queen-2")
			if n := len(f.Seen()); n != tc.sent || (err == nil) != (tc.sent == 2) {
				t.Errorf("sent %d times, want %d; error %v", n, tc.sent, err)
			}
			var u *client.Uncertain
			if tc.fault.DropAfter && !errors.As(err, &u) {
				t.Errorf("got %v, want Uncertain", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	f, c := setup(t, 2, hasty)
	for _, q := range f.Queens {
		q.Close()
	}
	_, err := c.Cluster(background(t))
	var u *client.Unreachable
	if !errors.As(err, &u) || len(u.Tries) != 2 || !strings.Contains(err.Error(), "refused") || strings.Count(err.Error(), f.Queens[0].URL) != 1 {
		t.Errorf("got %v", err)
	}
}

func TestReachedButRefused(t *testing.T) {
	f, c := setup(t, 1, hasty)
	for range 500 {
		f.Queens[0].Fail(fault{Status: 503, Code: "no_leader"})
	}
	_, err := c.Cluster(background(t))
	if !errors.Is(err, &client.Error{Code: "no_leader"}) {
		t.Errorf("got %v", err)
	}
}

func TestListPages(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		next := map[string]string{"": "b", "b": "c", "c": ""}[r.URL.Query().Get("cursor")]
		_ = json.NewEncoder(w).Encode(map[string]any{"items": []any{map[string]string{"id": "x"}, map[string]string{"id": "y"}}, "next_cursor": next})
	}))
	defer s.Close()
	c := newClient(t, []string{s.URL})
	all, err := c.Hives(background(t))
	if err != nil || len(all) != 6 || all[5].ID != "y" {
		t.Errorf("%v %v", all, err)
	}
	some, err := c.List(background(t), "/v2/jobs", map[string][]string{"state": {"queued"}}, 3)
	if err != nil || len(some) != 3 || !strings.Contains(asked[4], "limit=1") || !strings.Contains(asked[4], "state=queued") {
		t.Errorf("%d items, %v, asked %q", len(some), err, asked)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, tc := range []struct{ kind, body, code, detail string }{
		{"application/problem+json", `{"title":"T","detail":"D","code":"conflict"}`, "conflict", "D"},
		{"application/problem+json; charset=utf-8", `{"title":"T","code":"conflict"}`, "conflict", "T"},
		{"text/html", "<h1>\n Bad\x1b[2J </h1>", "http_409", "<h1> Bad [2J </h1>"},
		{"application/json", "{", "http_409", "{"},
		{"", "", "http_409", "Conflict"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tc.kind)
			w.WriteHeader(409)
			_, _ = w.Write([]byte(tc.body))
		}))
		_, err := newClient(t, []string{s.URL}).Cluster(background(t))
		var e *client.Error
		if !errors.As(err, &e) || e.Code != tc.code || e.Detail != tc.detail {
			t.Errorf("%q: got %#v", tc.body, err)
		}
		s.Close()
	}
}

func TestNotAQueen(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hi")) }))
	defer s.Close()
	_, err := newClient(t, []string{s.URL}).Cluster(background(t))
	if err == nil || !strings.Contains(err.Error(), "is it a queen?") {
		t.Errorf("got %v", err)
	}
}

func TestHungQueen(t *testing.T) {
	f := clienttest.New(t, 1)
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hang.Close()
	f.Answer["GET /v2/cluster"] = client.Cluster{Leader: "queen-1"}
	c, err := client.New(client.Config{Queens: []string{hang.URL, f.URLs()[0]}, APIKey: "key", AnswerTimeout: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if cl, err := c.Cluster(background(t)); err != nil || cl.Leader != "queen-1" {
		t.Errorf("%v %v", cl, err)
	}
}

func TestConfig(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:7833": "http://localhost:7833", "https://q.example/": "https://q.example", " http://[::1]:1 ": "http://[::1]:1",
		"ftp://x": "", "http://": "", "http://u:p@h": "", "http://h?x": "", "::": "",
	} {
		c, err := client.New(client.Config{Queens: []string{in}})
		if (err == nil) != (want != "") {
			t.Errorf("%q: %v", in, err)
		} else if err == nil && c.Queens()[0] != want {
			t.Errorf("%q became %q", in, c.Queens()[0])
		}
	}
	if _, err := client.New(client.Config{}); err == nil {
		t.Error("no queens accepted")
	}
	if _, err := client.New(client.Config{Queens: []string{"h:1"}, APIKey: "a\nb"}); err == nil {
		t.Error("key with a line break accepted")
	}
}
