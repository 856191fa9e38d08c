//go:build !race

package sim

const withRace = false
