package bench

import (
	"os"
	"path/filepath"
	"time"
)

// probe measures the machine itself between rounds: what it finds to vary is nobody's doing.
type probe struct {
	disk *Disk
	spun uint64 // what the loops came to: without a use they would not be run
}

// sample is one look at the machine, in ms.
type sample struct{ loop, sync float64 }

func openProbe(dir string) (*probe, error) {
	d, err := OpenDisk(dir)
	if err != nil {
		return nil, err
	}
	return &probe{disk: d}, nil
}

func (p *probe) close() { p.disk.Close() }

// loopSteps is about 20 ms of one core.
const loopSteps = 10_000_000

func (p *probe) take() (sample, error) {
	began := time.Now()
	x := uint64(88172645463325252)
	for range loopSteps { // xorshift (Marsaglia 2003): nothing but registers
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	p.spun += x
	s := sample{loop: Millis(time.Since(began))}
	var times []float64
	for range 15 {
		d, err := p.disk.Sync()
		if err != nil {
			return s, err
		}
		times = append(times, Millis(d))
	}
	s.sync = float64(Median(times))
	return s, nil
}

// Disk is the disk alone: a file that grows by a block a write, each followed by fdatasync,
// as the log of a queen that commits nothing but lone entries would.
type Disk struct {
	f     *os.File
	block [4096]byte
	n     int64
}

// maxDisk is where the file begins anew.
const maxDisk = 256 << 20

// OpenDisk makes a file in dir to write to.
func OpenDisk(dir string) (*Disk, error) {
	f, err := os.OpenFile(filepath.Join(dir, "fdatasync.probe"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Disk{f: f}, nil
}

// Sync appends one block and waits until the disk has it.
func (d *Disk) Sync() (time.Duration, error) {
	if d.n += int64(len(d.block)); d.n > maxDisk {
		d.n = int64(len(d.block))
		if err := d.f.Truncate(0); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if _, err := d.f.WriteAt(d.block[:], d.n-int64(len(d.block))); err != nil {
		return 0, err
	}
	err := fdatasync(d.f)
	return time.Since(began), err
}

// Rate syncs for a time and tells how many a second were done and what one took at the median, in ms.
func (d *Disk) Rate(span time.Duration) (perSecond, p50 Figure, err error) {
	var times []float64
	began := time.Now()
	for time.Since(began) < span {
		t, err := d.Sync()
		if err != nil {
			return None, None, err
		}
		times = append(times, Millis(t))
	}
	return Figure(float64(len(times)) / time.Since(began).Seconds()), Median(times), nil
}

// Close closes and removes the file.
func (d *Disk) Close() {
	_ = d.f.Close()
	_ = os.Remove(d.f.Name())
}
