package sim

import "queen-rbee/fsm"

// memory: no worker is spawned on a device that does not have what it takes, by the state's own
// account: what its workers take, those among them that are told to end and not yet gone. And
// nothing is evicted, or stopped for idleness, that runs something.
func (k *checker) memory(b *fsm.Batch) {
	for _, cmd := range b.Commands {
		switch c := cmd.(type) {
		case *fsm.Spawn:
			k.room(c)
		case *fsm.SetWorkerState:
			chosen := c.Failure != nil && (c.Failure.Code == "evicted" || c.Failure.Code == "idle")
			if chosen && c.State == fsm.WorkerStopped && k.view.Running(c.ID) > 0 {
				k.w.violate("worker %s is stopped (%s) with %d runs on it", c.ID, c.Failure.Code, k.view.Running(c.ID))
			}
		}
	}
}

func (k *checker) room(c *fsm.Spawn) {
	h, ok := k.view.Hive(c.Hive)
	if !ok {
		return
	}
	taken := int64(0)
	for w := range k.view.Workers() {
		if w.Hive == c.Hive && w.Device == c.Device && (!w.State.Gone() || w.Holds) {
			taken += w.VRAM
		}
	}
	for _, d := range h.Facts.Devices {
		if d.ID == c.Device && taken > d.Total {
			k.w.violate("device %s of %s is oversold by worker %s: %d of %d bytes", d.ID, h.ID, c.ID, taken, d.Total)
		}
	}
}
