package configs

import (
	"cmp"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Source  string // where it was said: "marque.yaml:12", "MARQUE_LISTEN", "--listen"; or nothing
	Key     string // the setting, such as keys.publish_lead; empty for the file as a whole
	Message string // what is wrong, and what would be right; holds no secret

	line int
}

// String returns source, key and message, joined by colons.
func (p Problem) String() string {
	parts := []string{p.Source, p.Key, p.Message}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Error is everything that is wrong with the configuration, never empty.
type Error struct{ Problems []Problem }

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// order puts the file's problems first, by line; the rest follows in the order in which it was found.
func (e *Error) order() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		if (a.line == 0) != (b.line == 0) {
			return cmp.Compare(b.line, a.line)
		}
		return cmp.Compare(a.line, b.line)
	})
}
