package device

// memory is what a process on this machine can use: bytes in all, and free if known.
type memory struct {
	total int64
	free  *int64
}

// limited returns m under a limit of that many bytes of which used are taken. A limit above the
// machine's own total changes nothing but what is free.
func (m memory) limited(limit, used int64) memory {
	room := ptr(clamp(limit-used, 0, limit))
	if m.free == nil || *room < *m.free {
		m.free = room
	}
	m.total = min(m.total, limit)
	m.free = ptr(min(*m.free, m.total))
	return m
}

func clamp(v, lo, hi int64) int64 { return min(max(v, lo), hi) }
