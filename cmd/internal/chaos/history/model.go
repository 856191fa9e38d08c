package history

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// What a step does to a job or says of it.
const (
	made    = "made"      // a submission was answered with the job
	mayMake = "may make"  // a submission may have made it, or may still
	wished  = "wished"    // a cancel was acknowledged
	mayWish = "may wish"  // a cancel may have been done, or may still
	shown   = "shown"     // the job was seen so
	missing = "not there" // a strong answer says that it is not there
)

// step is an operation of the model.
type step struct {
	do  string
	job string // "" where it is not known

	// Of what was shown.
	attempt uint32
	queued  bool
	row     bool // ending is known
	ending  string
	end     *end
	told    end // in place of end where steps are compared
}

func (s step) String() string {
	text := s.do
	if s.job != "" {
		text += " " + s.job
	}
	switch {
	case s.do != shown:
	case s.end != nil:
		text += fmt.Sprintf(" ended %s, attempt %d", s.end, s.attempt)
	case s.queued:
		text += fmt.Sprintf(" queued after attempt %d", s.attempt)
	default:
		text += fmt.Sprintf(" running attempt %d %s", s.attempt, s.ending)
	}
	return text
}

// life is the state of the model: absent, then queued and running in turns, each at its rank,
// then ended. The steps between ranks and the end happen by themselves; what was shown says
// how far they have come.
type life struct {
	there bool
	job   string // "" while nobody was told
	rank  uint64 // 2A running attempt A, 2A+1 queued after it
	wish  bool   // cancelled by a client
	fixed bool   // seen running since the wish: no other attempt may follow
	ended bool
	end   end
	at    uint32 // attempt of the end, 0 if not told
}

// model is how a job may live. Jobs that nobody of this history submitted are there from the beginning.
func model(g *group) porcupine.Model {
	attached := g.attached || len(g.submits) == 0
	return porcupine.Model{
		Init: func() any { return life{there: len(g.submits) == 0} },
		Step: func(state, input, _ any) (bool, any) {
			l, s := state.(life), input.(step)
			switch s.do {
			case made:
				l.there = true
				return l.is(s.job), l.named(s.job)
			case mayMake: // an order may place it behind everything else, where it means nothing
				if !l.there {
					l = life{there: true, job: s.job}
				}
				return true, l
			case wished:
				return l.there && l.is(s.job), l.named(s.job).wished()
			case mayWish:
				if l.there && l.is(s.job) {
					l = l.wished()
				}
				return true, l
			case missing:
				return !l.there || l.job != s.job, l
			default:
				return l.shown(s, attached)
			}
		},
	}
}

// is tells whether this may be the life of a job.
func (l life) is(job string) bool { return l.job == "" || l.job == job }

func (l life) named(job string) life {
	l.job = job
	return l
}

func (l life) wished() life {
	if !l.ended {
		l.wish = true
	}
	return l
}

// shown takes in a sight of the job. A job that nobody may give up is cancelled only by wish.
func (l life) shown(s step, attached bool) (bool, life) {
	if !l.there || !l.is(s.job) {
		return false, l
	}
	l = l.named(s.job)
	if s.end != nil {
		return l.finish(s, attached)
	}
	rank := 2 * uint64(s.attempt)
	if s.queued {
		rank++
	}
	cancelling := s.ending == "cancelled"
	switch {
	case l.ended, rank < l.rank:
		return false, l
	case cancelling && !l.wish:
		return false, l
	case l.wish && (s.queued || l.fixed && rank > l.rank):
		return false, l // a queued job would have ended at once, and a running one is not retried
	case l.wish && s.row && !cancelling && s.ending != "deadline_exceeded":
		return false, l
	}
	l.rank, l.fixed = rank, l.wish
	return true, l
}

// finish takes in a sight of the end. One that was not seen running since the wish may have
// ended before it.
func (l life) finish(s step, attached bool) (bool, life) {
	e := *s.end
	switch {
	case l.ended && (!l.end.same(&e) || l.at != 0 && s.attempt != 0 && l.at != s.attempt):
		return false, l
	case s.attempt != 0 && 2*uint64(s.attempt) < l.rank/2*2:
		return false, l
	case l.wish && l.fixed && s.attempt != 0 && uint64(s.attempt) != l.rank/2:
		return false, l
	case !l.ended && e.cancelled() && !l.wish && !attached:
		return false, l
	case !l.ended && l.wish && l.fixed && e.state != "complete" && !e.cancelled() && e.code != "deadline_exceeded":
		return false, l
	}
	if !l.ended {
		l.end = e
	} else if l.end.state == "error" || l.end.tokens < 0 && e.tokens >= 0 {
		tokens := max(l.end.tokens, e.tokens)
		l.end, l.end.tokens = e, tokens
	}
	l.ended, l.at = true, max(l.at, s.attempt)
	return true, l
}
