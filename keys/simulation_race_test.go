//go:build race

package keys

// raceEnabled says that everything takes ten times as long.
const raceEnabled = true
