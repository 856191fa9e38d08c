package sim

import "slices"

// Shrink makes a failing run plainer: fewer kinds of trouble, fewer and smaller choices,
// as long as it breaks the same way in the eyes of same. It tries at most so many runs.
func Shrink(cfg Config, tries int, same func(*Violation) bool) (Config, Report) {
	best := Run(cfg)
	cfg.Script = slices.Clone(best.Script)
	try := func(c Config) bool {
		if tries--; tries < 0 {
			return false
		}
		rep := Run(c)
		if rep.Violation == nil || !same(rep.Violation) {
			return false
		}
		cfg, best = c, rep
		return true
	}
	for _, without := range []func(*Faults){
		func(f *Faults) { f.Operator = false }, func(f *Faults) { f.Clients = false }, func(f *Faults) { f.Workers = false },
		func(f *Faults) { f.Hives = false }, func(f *Faults) { f.Queens = false }, func(f *Faults) { f.Net = false },
	} {
		c := cfg
		without(&c.Faults)
		try(c)
	}
	for size := len(cfg.Script) / 2; size > 0 && tries > 0; size /= 2 {
		for at := 0; at < len(cfg.Script) && tries > 0; {
			if !try(cutAt(cfg, at, size)) && !try(zeroAt(cfg, at, size)) {
				at += size
			} else if at+size > len(cfg.Script) || allZero(cfg.Script[at:at+size]) {
				at += size
			}
		}
	}
	cfg.Trace = true
	return cfg, Run(cfg)
}

func cutAt(c Config, at, size int) Config {
	end := min(at+size, len(c.Script))
	c.Script = slices.Concat(c.Script[:at], c.Script[end:])
	return c
}

func zeroAt(c Config, at, size int) Config {
	c.Script = slices.Clone(c.Script)
	clear(c.Script[at:min(at+size, len(c.Script))])
	return c
}

func allZero(words []uint32) bool {
	return !slices.ContainsFunc(words, func(v uint32) bool { return v != 0 })
}
