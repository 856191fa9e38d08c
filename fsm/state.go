package fsm

// State is the replicated state. One goroutine owns it; others read Views.
type State struct {
	tables
	words  words // shares the memory of strings that recur; no part of the state
	hasher coder // of rows, for their sums

	unroomed map[string]bool   // hives whose rooms are to be made anew
	roomsOn  map[string][]room // by hive: what the index of rooms has of it
	spacesOn map[string][]space
}

// Outcome is what Apply did with a batch.
type Outcome struct {
	Index   uint64   // the state's index after it
	Refused *Error   // the whole batch was refused (base, epoch, time, or a level above CurrentLevel); nothing changed
	Errs    []*Error // one per command, nil where it was done: a guard that fired
	Changed []Row    // rows that changed, each once, in order of their first change; see Row
}

// New is a blank state, waiting for Genesis.
func New() *State {
	s := &State{tables: newTables(), hasher: coder{unchecked: true}}
	s.putMeta()
	return s
}

// View makes the picture of now. O(1). Only the owner of the state may call it.
func (s *State) View() *View {
	s.settleRooms()
	return &View{s.copy()}
}

// words makes equal strings share memory: a million queued jobs name the same few models,
// tenants and queens, and each decoded batch brings its own copies of them.
type words map[string]string

// maxWords bounds what words remembers; it begins anew when full.
const maxWords = 4096

func (w *words) share(p *string) {
	if *p == "" || len(*p) > MaxName {
		return
	}
	if known, ok := (*w)[*p]; ok {
		*p = known
		return
	}
	if *w == nil || len(*w) >= maxWords {
		*w = make(words)
	}
	(*w)[*p] = *p
}
