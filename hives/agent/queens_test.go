package agent

import (
	"fmt"
	"slices"
	"testing"

	"queen-rbee/hives"
)

// TestAHiveGoesOnWithAQueenItHasLearnt: the only one it was given dies, and it stays dead when
// the agent starts again.
func TestAHiveGoesOnWithAQueenItHasLearnt(t *testing.T) {
	r := newRig(t)
	other := r.queen.Beside(t)
	r.queen.Name(r.queen.URL, other)
	r.queen.Await(t, "an answer that names both", func(*hives.Heartbeat) bool { return r.agent.hive.session.queens.count() == 2 })
	r.queen.Close()
	r.spawn("w1", 1)
	if at, _ := r.agent.hive.session.queens.current(); at != other {
		t.Errorf("the pipes are at %s, want %s", at, other)
	}
	r.cancelAndWait()
	r.start()
	if n := r.agent.hive.session.queens.count(); n != 2 {
		t.Errorf("%d queens are known after a restart", n)
	}
}

// TestWhatAHiveLearns: members that it was not given, as long as they are members.
func TestWhatAHiveLearns(t *testing.T) {
	var saved [][]string
	q := newQueens([]string{"http://a:1", "http://b:1"}, []string{"http://b:1", "nonsense", "http://old:1"}, func(urls []string) {
		saved = append(saved, slices.Clone(urls))
	})
	want := func(what string, urls ...string) {
		t.Helper()
		if q.mu.Lock(); !slices.Equal(q.urls, urls) {
			t.Errorf("%s: %q, want %q", what, q.urls, urls)
		}
		q.mu.Unlock()
	}
	want("what an earlier start knew", "http://a:1", "http://b:1", "http://old:1")
	q.learn(nil)
	want("a queen that names nobody", "http://a:1", "http://b:1", "http://old:1")

	_, here := q.current()
	q.learn([]string{"http://b:1/", "http://c:1/", "http://c:1", "ftp://d:1", "http://d:1/path", "", "http://e:1"})
	want("members", "http://a:1", "http://b:1", "http://c:1", "http://e:1")
	q.learn([]string{"http://c:1", "http://e:1"})
	if here.Err() != nil || len(saved) != 1 || !slices.Equal(saved[0], []string{"http://c:1", "http://e:1"}) {
		t.Errorf("the pipes moved (%v), or saved was %q", here.Err(), saved)
	}

	q.fail("http://a:1")
	q.fail("http://b:1")
	q.fail("http://c:1")
	at, here := q.current()
	q.learn([]string{"http://e:1"})
	if now, _ := q.current(); at != "http://e:1" || now != at || here.Err() != nil {
		t.Errorf("the pipes were at %s and are at %s, moved: %v", at, now, here.Err())
	}
	q.learn([]string{"http://a:1"})
	want("only given ones are members", "http://a:1", "http://b:1")
	if now, _ := q.current(); now != "http://a:1" || here.Err() == nil {
		t.Errorf("the pipes are at %s, moved: %v; their queen is no member any more", now, here.Err())
	}

	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("http://many:%d", i+1))
	}
	q.learn(many)
	if q.count() != 2+maxLearnt {
		t.Errorf("%d queens are asked", q.count())
	}
}
