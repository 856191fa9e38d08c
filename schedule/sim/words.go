package sim

import (
	"fmt"
	"strings"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// sayBatch puts a committed entry into one line.
func sayBatch(b *fsm.Batch, out fsm.Outcome) string {
	if out.Refused != nil {
		return fmt.Sprintf("a batch of base %d is refused", b.Base)
	}
	var all []string
	for _, c := range b.Commands {
		all = append(all, words(c))
	}
	return strings.Join(all, "; ")
}

// words says shortly what a command or request is.
func words(x any) string {
	switch c := x.(type) {
	case schedule.Request:
		return request(c)
	case *fsm.Submit:
		return fmt.Sprintf("submit %s", c.Job.ID)
	case *fsm.Assign:
		return fmt.Sprintf("assign %s/%d to %s", c.Job, c.Attempt, c.Worker)
	case *fsm.Started:
		return fmt.Sprintf("started %s/%d", c.Job, c.Attempt)
	case *fsm.EndJob:
		return fmt.Sprintf("end %s/%d %s%s", c.Job, c.Attempt, c.State, because(c.Failure))
	case *fsm.Requeue:
		return fmt.Sprintf("requeue %s/%d%s", c.Job, c.Attempt, because(&c.Reason))
	case *fsm.WishEnd:
		return fmt.Sprintf("wish the end of %s: %s", c.Job, c.Reason)
	case *fsm.Spawn:
		return fmt.Sprintf("spawn %s of %s on %s", c.ID, c.Model, c.Hive)
	case *fsm.SetWorkerState:
		return fmt.Sprintf("worker %s is %s%s", c.ID, c.State, because(c.Failure))
	case *fsm.RegisterHive:
		return fmt.Sprintf("hive %s is %s, incarnation %d", c.ID, c.Boot, c.Incarnation)
	case *fsm.SetHiveStatus:
		return fmt.Sprintf("hive %s is %s", c.ID, c.Status)
	case *fsm.SetHiveDesired:
		return fmt.Sprintf("hive %s should %s", c.ID, c.Desired)
	case *fsm.PutQueen:
		return fmt.Sprintf("queen %s is %s", c.Queen.ID, c.Queen.Boot)
	}
	return fmt.Sprintf("%T%+v", x, x)
}

func request(r schedule.Request) string {
	for _, x := range []struct {
		set  bool
		what any
	}{
		{r.Submit != nil, r.Submit}, {r.Started != nil, r.Started}, {r.Finished != nil, r.Finished}, {r.Cancel != nil, r.Cancel},
		{r.Hold != nil, r.Hold}, {r.Release != nil, r.Release}, {r.Register != nil, r.Register}, {r.Beat != nil, r.Beat},
		{r.HiveWish != nil, r.HiveWish}, {r.DropHive != nil, r.DropHive}, {r.SpawnWorker != nil, r.SpawnWorker},
		{r.StopWorker != nil, r.StopWorker}, {r.Member != nil, r.Member},
	} {
		if x.set {
			return strings.TrimPrefix(fmt.Sprintf("%T%+v", x.what, x.what), "*schedule.")
		}
	}
	return "nothing"
}
