package endpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// required lists the rows that this package must have a test for.
func required() (ids []string) {
	span := func(family string, from, to int, except ...int) {
		for n := from; n <= to; n++ {
			if !slices.Contains(except, n) {
				ids = append(ids, fmt.Sprintf("%s%02d", family, n))
			}
		}
	}
	span("TOK", 1, 49, 26, 27, 47)
	span("TKE", 1, 66, 33, 55, 56, 57, 58, 59, 60, 61, 62, 63)
	span("CLA", 1, 20, 3, 7, 9)
	span("MET", 1, 11)
	span("MET", 26, 29)
	span("JWK", 1, 9)
	span("JWK", 14, 14)
	return ids
}

var testName = regexp.MustCompile(`func (Test\w+)\(|"((?:TOK|TKE|CLA|MET|JWK)-\d\d[^"]*)"`)

// TestEveryRowHasATest reads the tests of this package: each required row must be in the name of a
// test (TKE05) or of a subtest (TKE-05).
func TestEveryRowHasATest(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	check(t, err)
	var names strings.Builder
	for _, f := range files {
		source, err := os.ReadFile(f)
		check(t, err)
		for _, m := range testName.FindAllStringSubmatch(string(source), -1) {
			names.WriteString(strings.ReplaceAll(m[1]+m[2], "-", "") + "\n")
		}
	}
	for _, id := range required() {
		if !strings.Contains(names.String(), id) {
			t.Errorf("no test is named after %s", id)
		}
	}
}
