package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// algorithms are what keys can be made for, as the command line and the JWKS spell them.
var algorithms = []string{"ES256", "ES384", "RS256", "PS256", "Ed25519"}

// PeriodsByAlgorithm returns Periods by the name of the algorithm, whole seconds; of a Config that was
// loaded there is no error.
func (k KeysConfig) PeriodsByAlgorithm() (map[string]time.Duration, error) {
	all := make(map[string]time.Duration, len(k.Periods))
	for _, entry := range k.Periods {
		alg, text, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not an algorithm and a duration such as RS256=2160h", entry)
		}
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("%q does not begin with one of %s", entry, strings.Join(algorithms, ", "))
		}
		if _, twice := all[alg]; twice {
			return nil, fmt.Errorf("%s has two periods", alg)
		}
		p, err := parseDuration(text, true)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", alg, err)
		case time.Duration(p)%time.Second != 0:
			return nil, fmt.Errorf("%s: %v is not a whole number of seconds", alg, p)
		case p > Duration(8760*time.Hour):
			return nil, fmt.Errorf("%s: %v is over 8760h", alg, p)
		}
		all[alg] = time.Duration(p)
	}
	return all, nil
}
