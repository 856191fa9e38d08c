package history

import "fmt"

// equal: at one index of one epoch there is one hash, at every queen and before and after its restarts.
func equal(c *court) {
	type place struct {
		epoch string
		index uint64
	}
	first := map[place]*Op{}
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind != Hash || op.Outcome != OK {
			continue
		}
		at := place{op.Epoch, op.HashAt}
		was := first[at]
		if was == nil {
			first[at] = op
			continue
		}
		c.checked(Equal)
		if was.Hash != op.Hash {
			c.violate(Equal, "", fmt.Sprintf("at index %d %s has the hash %s and %s has %s", op.HashAt, was.Queen, was.Hash, op.Queen, op.Hash), was, op)
		}
	}
}
