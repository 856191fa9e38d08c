package markov

import "math"

// The standard library's Exp and Pow are written in assembly on some machines and not on
// others, and compilers may fuse a multiplication with an addition; both can change the last
// bit. These use only operations that IEEE 754 rounds exactly, and an explicit conversion
// after each product, which forbids fusing. They are good to about 1e-14, far below scale.

const ln2 = 0.693147180559945309417232121458

// power is x^y for x in [0, 1] and y > 0. 1 stays 1 exactly, however large y is.
func power(x, y float64) float64 {
	switch {
	case x >= 1:
		return 1
	case x <= 0:
		return 0
	}
	return exp(float64(y * logarithm(x)))
}

// logarithm is the natural one of a positive number: ln(f*2^e) = ln f + e ln 2, and
// ln f = 2 atanh((f-1)/(f+1)) with f within [0.5, 1).
func logarithm(x float64) float64 {
	f, e := math.Frexp(x)
	z := (f - 1) / (f + 1)
	square := float64(z * z)
	sum, term := 0.0, z
	for k := 1; k < 60; k += 2 {
		sum += term / float64(k)
		term = float64(term * square)
	}
	return float64(2*sum) + float64(float64(e)*ln2)
}

// exp is e^x: halved k times until it is small, a Taylor series, squared k times.
func exp(x float64) float64 {
	if x < -700 {
		return 0
	}
	if x > 700 {
		x = 700
	}
	whole := math.Floor(x / ln2)
	rest := x - float64(whole*ln2)
	sum, term := 1.0, 1.0
	for k := 1; k < 24; k++ {
		term = float64(term*rest) / float64(k)
		sum += term
	}
	return math.Ldexp(sum, int(whole))
}
