//go:build !race

package endpoint

// UnderRace says that the race detector is on, which makes everything ten times slower.
const UnderRace = false
