package schedule

import (
	"testing"

	"queen-rbee/fsm"
)

// TestTheLevelRisesWithTheLastQueen: a state of an earlier level is raised when every member can
// read this build's, and not before.
func TestTheLevelRisesWithTheLastQueen(t *testing.T) {
	e := newEnv(t)
	e.apply(Planned{Batch: fsm.Batch{Level: 1, Commands: []fsm.Command{
		&fsm.Genesis{ClusterID: "c1", Epoch: fsm.Epoch{1}, Level: 1},
	}}})
	if e.do(); e.view.Meta().Level != 1 {
		t.Fatal("raised without a member")
	}
	member := func(id string, level fsm.Level) {
		if a := e.ask(Request{Member: &Member{Queen: fsm.Queen{ID: id, Boot: "b", Role: fsm.RoleVoter, Level: level}}}); a.Err != nil {
			t.Fatal(a.Err)
		}
		e.do()
	}
	member("old", 1)
	member("q1", fsm.CurrentLevel)
	if e.view.Meta().Level != 1 {
		t.Fatal("raised although a queen cannot read it")
	}
	member("old", fsm.CurrentLevel)
	if e.view.Meta().Level != fsm.CurrentLevel {
		t.Fatalf("the level is %d when all can read %d", e.view.Meta().Level, fsm.CurrentLevel)
	}
}
