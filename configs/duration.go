package configs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as people write it: "15m", not "15m0s".
type Duration time.Duration

// String returns the shortest form that time.ParseDuration reads.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText returns String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// parseDuration reads "15m", and "900" where plain seconds are admitted. A number without a unit is
// otherwise refused, zero excepted: it is the commonest mistake, and guessing it wrong is silent.
func parseDuration(s string, seconds bool) (Duration, error) {
	if digits(s) && (seconds || s == "0") {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is too many seconds", s)
		}
		return Duration(time.Duration(n) * time.Second), nil
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && seconds:
		return 0, fmt.Errorf(`%q is not a duration such as "15m", nor a whole number of seconds`, s)
	case err != nil:
		return 0, fmt.Errorf(`%q is not a duration such as "15m"`, s)
	case d < 0:
		return 0, fmt.Errorf("%q is negative", s)
	}
	return Duration(d), nil
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
