package bench

import (
	"math"
	"slices"
	"time"
)

// Median is the middle of some figures, the mean of the two middle ones if their number is
// even; None without any.
func Median(fs []float64) Figure {
	s := slices.Sorted(slices.Values(fs))
	switch n := len(s); {
	case n == 0:
		return None
	case n%2 == 1:
		return Figure(s[n/2])
	default:
		return Figure((s[n/2-1] + s[n/2]) / 2)
	}
}

// Quantile is the smallest figure that is not exceeded by a share q of all, 0 < q <= 1.
func Quantile(fs []float64, q float64) Figure {
	if len(fs) == 0 {
		return None
	}
	s := slices.Sorted(slices.Values(fs))
	at := int(math.Ceil(q*float64(len(s)))) - 1
	return Figure(s[min(max(at, 0), len(s)-1)])
}

func least(fs []float64) Figure {
	if len(fs) == 0 {
		return None
	}
	return Figure(slices.Min(fs))
}

func greatest(fs []float64) Figure {
	if len(fs) == 0 {
		return None
	}
	return Figure(slices.Max(fs))
}

// Millis is a duration in ms, the unit of all times in the table unless they are far smaller.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Micros is a duration in us.
func Micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
