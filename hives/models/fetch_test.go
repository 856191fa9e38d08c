package models

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/models/hubtest"
)

func TestFetch(t *testing.T) {
	r := newRig(t)
	m, e, err := r.fetch(r.request())
	if err != nil {
		t.Fatal(err)
	}
	r.holds(m, r.content)
	size := int64(len(r.content))
	if m.Digest != r.digest || m.Bytes != size || filepath.Base(m.Path) != "tiny.gguf" {
		t.Errorf("%+v", m)
	}
	if got := e.last(); got != (Progress{Done: size, Total: size}) {
		t.Errorf("the last word is %+v", got)
	}
	if asks := r.hub.Asks(); len(asks) != 5 || r.hub.Sent() != size+2 { // two looks of a byte each
		t.Errorf("%d requests, %d bytes sent", len(asks), r.hub.Sent())
	}
	for _, a := range r.hub.Asks() {
		if a.Header.Get("Range") == "" {
			t.Errorf("a part was asked for without a range: %+v", a)
		}
	}
	before := r.hub.Requests()
	again, _, err := r.fetch(r.request())
	if err != nil || again.Path != m.Path || r.hub.Requests() != before {
		t.Errorf("what is here was asked for again: %+v, %v", again, err)
	}
	r.again()
	if kept, _, err := r.fetch(r.request()); err != nil || kept.Digest != r.digest || r.hub.Requests() != before {
		t.Errorf("after a restart: %+v, %v", kept, err)
	}
}

func TestFetchOfAnyServer(t *testing.T) {
	r := newRig(t)
	m, _, err := r.fetch(Request{Source: r.hub.Plain(file) + "?X-Amz-Signature=one"})
	if err != nil {
		t.Fatal(err)
	}
	r.holds(m, r.content)
	if m.Digest != r.digest || strings.Contains(m.Source, "one") {
		t.Errorf("%+v", m)
	}
	// Signed anew it is the same.
	before := r.hub.Requests()
	if _, _, err := r.fetch(Request{Source: r.hub.Plain(file) + "?X-Amz-Signature=two", Digest: r.digest}); err != nil || r.hub.Requests() != before {
		t.Errorf("%v, %d requests", err, r.hub.Requests()-before)
	}
}

// Each of these servers does one thing that it should not.
func TestFetchFromBadServers(t *testing.T) {
	for name, c := range map[string]struct {
		fault   func(a hubtest.Ask) hubtest.Fault
		tune    func(*tuning)
		trouble string // told, and got over
		code    string // or given up with
		words   string
	}{
		"stalls": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				return hubtest.Fault{Stop: a.From == 65536 && a.To-a.From == 65536, After: 1000}
			},
			tune: func(u *tuning) { u.stall = shortStall }, trouble: "no byte came for",
		},
		"answers nothing": {
			fault: func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Stop: a.To-a.From > 1 && a.Nth == 3} },
			tune:  func(u *tuning) { u.stall = shortStall }, trouble: "no byte came for",
		},
		"cuts off": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				return hubtest.Fault{Cut: a.To-a.From == 65536, After: 20_000}
			},
			trouble: "broke off",
		},
		"cuts off for ever": {
			fault: func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Cut: a.To-a.From > 1, After: 0} },
			code:  CodeUnreachable, words: "tried 4 times",
		},
		"ends early in order": {
			fault:   func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{End: a.To-a.From == 65536, After: 20_000} },
			trouble: "20000 bytes of 65536 came",
		},
		"says a body is longer": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				if a.To-a.From == 65536 && a.Nth < 12 {
					return hubtest.Fault{Length: 100_000}
				}
				return hubtest.Fault{}
			},
			trouble: "says it sends 100000",
		},
		"says a file is longer": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				if a.To-a.From == 1 {
					return hubtest.Fault{}
				}
				return hubtest.Fault{Total: 400_000}
			},
			code: CodeChanged, words: "the hub says that the file has 300000 bytes, the server that it has 400000",
		},
		"is busy": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				if a.To-a.From > 1 && a.Nth < 8 {
					return hubtest.Fault{Status: 429, RetryAfter: "3600"} // bounded
				}
				return hubtest.Fault{}
			},
			trouble: "429",
		},
		"is overloaded for ever": {
			fault: func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Status: 503} },
			code:  CodeUnreachable, words: "503",
		},
		"knows no ranges": {
			fault:   func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Ignore: true} },
			trouble: "does not know ranges",
		},
		"forgets ranges on the way": {
			fault:   func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Ignore: a.From > 100_000} },
			trouble: "does not know ranges",
		},
		"has no such range": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				if a.From > 0 && a.Nth < 6 {
					return hubtest.Fault{Status: 416}
				}
				return hubtest.Fault{}
			},
			trouble: "416",
		},
		"has no range at all": {
			fault: func(a hubtest.Ask) hubtest.Fault {
				if a.From > 0 {
					return hubtest.Fault{Status: 416}
				}
				return hubtest.Fault{}
			},
			code: CodeChanged, words: "changed 3 times",
		},
		"redirects for ever": {
			fault: func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Redirect: "?more"} },
			code:  CodeRefused, words: "redirects more than 8 times",
		},
		"redirects elsewhere": {
			fault: func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Redirect: "ftp://127.0.0.1/x"} },
			code:  CodeRefused, words: `"ftp" is not fetched over`,
		},
		"is locked": {
			fault: func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Status: 403} },
			code:  CodeForbidden, words: "token",
		},
		"has no such file": {
			fault: func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Status: 404} },
			code:  CodeNotThere, words: "spelling",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.store.tune.tries, r.store.tune.anew, r.store.tune.progress = 3, 2, 10_000
			if c.tune != nil {
				c.tune(&r.store.tune)
			}
			r.hub.Break(c.fault)
			m, e, err := r.fetch(r.request())
			if c.code != "" {
				wantCode(t, err, c.code, c.words)
				if len(r.below(modelDir)) != 0 {
					t.Error("there is a model")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.holds(m, r.content)
			if got := e.last(); !e.said(c.trouble) || got.Done != got.Total || got.Troubles == 0 {
				t.Errorf("%q was not told: %+v", c.trouble, got)
			}
		})
	}
}

// said tells whether some trouble was told in these words.
func (e *told) said(words string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.all {
		if strings.Contains(p.Trouble, words) {
			return true
		}
	}
	return false
}

// What another process has left is gone on with, as long as it is of the same content.
func TestFetchGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rig)
		anew   bool
	}{
		"as it was": {func(*rig) {}, false},
		"changed at the source": {func(r *rig) {
			r.content = hubtest.Noise(8, len(r.content))
			r.digest = r.hub.Put(file, r.content)
		}, true},
		"longer at the source": {func(r *rig) {
			r.content = hubtest.Noise(7, len(r.content)+1)
			r.digest = r.hub.Put(file, r.content)
		}, true},
		"without its state": {func(r *rig) {
			for _, f := range r.below(partialDir) {
				if strings.HasSuffix(f, ".part.json") && os.Remove(f) != nil {
					r.t.Fatal(f)
				}
			}
		}, true},
		"cut on disk": {func(r *rig) {
			for _, f := range r.below(partialDir) {
				if strings.HasSuffix(f, ".gguf") && os.Truncate(f, 1000) != nil {
					r.t.Fatal(f)
				}
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			hold := make(chan struct{})
			r.hub.Break(func(a hubtest.Ask) hubtest.Fault {
				if a.To-a.From == 1 {
					return hubtest.Fault{}
				}
				return hubtest.Fault{Hold: hold, After: 30_000}
			})
			e := r.interrupted(r.request(), 4*30_000)
			r.hub.Break(nil)
			close(hold)
			c.change(r)
			before := len(r.hub.Asks())
			r.open()
			m, again, err := r.fetch(r.request())
			if err != nil {
				t.Fatal(err)
			}
			r.holds(m, r.content)
			size, asked := int64(len(r.content)), int64(0)
			for _, a := range r.hub.Asks()[before:] {
				asked += a.To - a.From
			}
			if c.anew && asked < size || !c.anew && asked > size-e.Done {
				t.Errorf("%d of %d bytes were there, %d were asked for then", e.Done, size, asked)
			}
			if again.last().Done != size {
				t.Errorf("the last word is %+v", again.last())
			}
		})
	}
}

// interrupted fetches until so many bytes are here and closes the store then.
func (r *rig) interrupted(req Request, bytes int64) Progress {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &told{}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.store.Fetch(ctx, req, e.tell); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
			r.t.Errorf("the interrupted download: %v", err)
		}
	})
	eventually(r.t, "bytes are here", func() bool { return e.last().Done >= bytes })
	cancel()
	wg.Wait()
	r.store.Close()
	return e.last()
}

func TestFetchOfAnotherDigest(t *testing.T) {
	other := "sha256:" + strings.Repeat("ab", 32)
	t.Run("as the hub says", func(t *testing.T) {
		r := newRig(t)
		req := r.request()
		req.Digest = other
		_, _, err := r.fetch(req)
		wantCode(t, err, CodeDigest, "it was changed at the source")
		r.empty()
	})
	t.Run("as came", func(t *testing.T) {
		r := newRig(t)
		_, _, err := r.fetch(Request{Source: r.hub.Plain(file), Digest: other})
		wantCode(t, err, CodeDigest, "deleted")
		r.empty()
	})
	t.Run("of another length", func(t *testing.T) {
		r := newRig(t)
		_, _, err := r.fetch(Request{Source: r.hub.Plain(file), Bytes: 5})
		wantCode(t, err, CodeChanged, "wanted are 5")
		r.empty()
	})
}

// A file that changes while it comes is never half of each, whether anybody knows its digest.
func TestFetchOfWhatChangesMeanwhile(t *testing.T) {
	for _, hub := range []bool{true, false} {
		r := newRig(t)
		next := hubtest.Noise(9, len(r.content))
		r.hub.Break(func(a hubtest.Ask) hubtest.Fault {
			if a.From != 65536 || a.Nth > 7 {
				return hubtest.Fault{}
			}
			r.hub.Put(file, next)
			return hubtest.Fault{Cut: true, After: 100}
		})
		req := Request{Source: r.hub.Plain(file)}
		if hub {
			req = r.request()
		}
		m, e, err := r.fetch(req)
		if err != nil {
			t.Fatal(err)
		}
		r.holds(m, next)
		if !e.said("changed") {
			t.Errorf("%+v", e.last())
		}
	}
}

// All who want a model wait for one download, and it ends with the last of them.
func TestOneDownloadForAll(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	r.hub.Break(func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold} })
	first, leave := context.WithCancel(context.Background())
	results := make(chan error, 3)
	go func() { _, err := r.store.Fetch(first, r.request(), nil); results <- err }()
	eventually(t, "the hub is asked", func() bool { return r.hub.Requests() > 0 })
	for range 2 {
		go func() { _, _, err := r.fetch(r.request()); results <- err }()
	}
	eventually(t, "three wait", func() bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		f := r.store.flights[keyOf(t, r.request().Source)]
		return f != nil && len(f.callers) == 3
	})
	leave()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(hold)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got, want := r.hub.Sent(), int64(len(r.content)); got < want || got > want+2 {
		t.Errorf("%d bytes were sent, want %d", got, want)
	}
}

func keyOf(t *testing.T, source string) string {
	t.Helper()
	s, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	return s.Key()
}

func TestCancel(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	defer close(hold)
	r.hub.Break(func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold, After: 100} })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { _, err := r.store.Fetch(ctx, r.request(), nil); done <- err }()
	eventually(t, "parts are asked for", func() bool { return len(r.hub.Asks()) >= 4 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	gone, err := r.store.Remove(keyOf(t, r.request().Source))
	if err != nil {
		t.Fatal(err)
	}
	if !gone { // the download was ending
		dir := filepath.Join(r.options.Dir, partialDir, keyOf(t, r.request().Source))
		eventually(t, "it has gone", func() bool {
			_, err := os.Stat(dir)
			left, _ := os.ReadDir(filepath.Join(r.options.Dir, goneDir))
			return err != nil && len(left) == 0
		})
	}
	r.empty()
}

func TestSplit(t *testing.T) {
	r := newRig(t)
	var sizes int64
	for i, name := range []string{"big-00001-of-00003.gguf", "big-00002-of-00003.gguf", "big-00003-of-00003.gguf"} {
		data := hubtest.Noise(uint64(i), 70_000+i)
		sizes += int64(len(data))
		r.hub.Put("org/repo/q4/"+name, data)
	}
	m, e, err := r.fetch(Request{Source: "hf:org/repo/q4/big-00002-of-00003.gguf@main"})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(m.Path) != "big-00001-of-00003.gguf" || m.Bytes != sizes || len(r.below(modelDir)) != 4 {
		t.Errorf("%+v with %v", m, r.below(modelDir))
	}
	for i := 1; i < len(e.all); i++ {
		if e.all[i].Done < e.all[i-1].Done || e.all[i].Total != 0 && e.all[i].Total != sizes {
			t.Errorf("the progress of all files is no line: %+v", e.all)
			break
		}
	}
	if e.last().Done != sizes {
		t.Errorf("%+v", e.last())
	}
	r.again()
	if l := r.store.List(); len(l) != 1 || l[0].Digest != m.Digest {
		t.Errorf("after a restart: %+v", l)
	}
	// One part is missing.
	_, _, err = r.fetch(Request{Source: "hf:org/repo/big-00001-of-00002.gguf"})
	wantCode(t, err, CodeNotThere, "404")
}

func TestTokenIsForTheHubAlone(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Token = "secret" })
	r.hub.Want("secret")
	elsewhere := hubtest.New(t)
	elsewhere.Put(file, r.content)
	r.hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Redirect: elsewhere.Plain(file)} })
	m, _, err := r.fetch(r.request())
	if err != nil {
		t.Fatal(err)
	}
	r.holds(m, r.content)
	for _, a := range elsewhere.Asks() {
		if a.Header.Get("Authorization") != "" {
			t.Fatal("the token was sent to another host")
		}
	}
	if len(elsewhere.Asks()) == 0 {
		t.Error("nothing was asked there")
	}
	r.hub.Want("another")
	_, _, err = r.fetch(Request{Source: "hf:org/repo/other.gguf"})
	wantCode(t, err, CodeForbidden, "models.hub.token_env")
}

func TestErrorsKeepSignatures(t *testing.T) {
	r := newRig(t)
	r.hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Cut: true} })
	r.store.tune.tries = 1
	_, e, err := r.fetch(Request{Source: r.hub.Plain(file) + "?X-Amz-Signature=hidden"})
	if err == nil || hives.CodeOf(err) != CodeUnreachable {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.all {
		if strings.Contains(p.Trouble+err.Error(), "hidden") {
			t.Errorf("it was told: %q, %v", p.Trouble, err)
		}
	}
}
