package crowd

import (
	"context"
	"fmt"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// stories are what a client may do next, each so often in a hundred.
var stories = []struct {
	name  string
	often int
	tell  func(*client, context.Context)
}{
	{"stream", 34, (*client).stream},
	{"openai", 16, (*client).chat},
	{"detached", 30, (*client).detached},
	{"look back", 12, (*client).lookBack},
	{"running", 4, (*client).running},
	{"workers", 4, (*client).workers},
}

func (c *client) story(ctx context.Context) {
	if len(c.open) >= maxOpen {
		j := c.open[0]
		c.open = c.open[1:]
		c.follow(ctx, j)
		return
	}
	draw := c.rng.IntN(100)
	for _, s := range stories {
		if draw -= s.often; draw < 0 {
			c.w.note(c.name, s.name)
			s.tell(c, ctx)
			return
		}
	}
}

// Prompts and lengths are few, so that the reference engine is asked for few texts.
const prompts = 16

var lengths = []int{3, 12, 40, 100}

func (c *client) task() history.Task {
	i := c.rng.IntN(prompts)
	t := history.Task{Model: rig.Model, Prompt: fmt.Sprintf("Tell me about the bees of hive %d.", i), Seed: int64(i + 1), MaxTokens: lengths[c.rng.IntN(len(lengths))]}
	if c.one(2) {
		t.OnWorkerLoss = "restart"
	}
	return t
}

func (c *client) key() string {
	c.count++
	return fmt.Sprintf("%s-%d", c.name, c.count)
}

// stream posts a task and reads it, with whatever the client does meanwhile.
func (c *client) stream(ctx context.Context) {
	r := &reading{c: c, job: job{key: c.key(), task: c.task()}}
	c.moods(r)
	r.run(ctx)
}

// chat is stream in the form of the OpenAI API.
func (c *client) chat(ctx context.Context) {
	r := &reading{c: c, job: job{key: c.key(), task: c.task()}, chat: &chatOrder{}}
	r.job.task.OnWorkerLoss = "" // that API has no such wish
	c.moods(r)
	r.run(ctx)
}

// moods decides what a reader does on the way: leave and come back, leave for good, cancel.
func (c *client) moods(r *reading) {
	tokens := r.job.task.MaxTokens
	switch c.rng.IntN(10) {
	case 0, 1, 2:
		for range 1 + c.rng.IntN(3) {
			r.leaves = append(r.leaves, c.rng.IntN(tokens))
		}
	case 3:
		r.forGood, r.leaves = true, []int{c.rng.IntN(tokens)}
	case 4:
		at := c.rng.IntN(tokens)
		r.cancelAt = &at
	}
}

// detached submits, may ask again under the same key or cancel, and mostly follows later.
func (c *client) detached(ctx context.Context) {
	j := job{key: c.key(), task: c.task(), detached: true}
	q := c.queen()
	if j.id = c.submit(ctx, q, j.key, j.task); j.id == "" {
		return
	}
	if c.one(3) {
		if again := c.submit(ctx, c.after(q), j.key, j.task); again != "" && again != j.id {
			c.w.Breach("key %s was job %s and then job %s", j.key, j.id, again)
		}
	}
	if c.one(3) {
		rig.Pause(ctx, c.upTo(time.Second))
		c.show(ctx, j.id)
	}
	if c.one(6) {
		rig.Pause(ctx, c.upTo(time.Second))
		c.cancel(ctx, j.id)
	}
	c.open = append(c.open, j)
}

// follow reads a detached job from the beginning to its end, and sometimes its result.
func (c *client) follow(ctx context.Context, j job) {
	c.w.note(c.name, "follow "+j.id)
	r := &reading{c: c, job: j}
	if c.one(3) {
		r.leaves = []int{c.rng.IntN(j.task.MaxTokens)}
	}
	r.run(ctx)
	if c.one(2) {
		c.result(ctx, j.id)
	}
}

// lookBack asks for a job that has ended, in one way or another.
func (c *client) lookBack(ctx context.Context) {
	if len(c.past) == 0 {
		return
	}
	j := c.past[c.rng.IntN(len(c.past))]
	switch c.rng.IntN(4) {
	case 0:
		c.show(ctx, j.id)
	case 1:
		c.result(ctx, j.id)
	case 2:
		c.submitAgain(ctx, j)
	default:
		(&reading{c: c, job: j, back: true}).run(ctx)
	}
}

// submitAgain posts an old task under its key: it is the old job.
func (c *client) submitAgain(ctx context.Context, j job) {
	if !j.detached {
		return // another request under its key is refused
	}
	if again := c.submit(ctx, c.queen(), j.key, j.task); again != "" && again != j.id {
		c.w.Breach("key %s was job %s and then job %s", j.key, j.id, again)
	}
}
