package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseClock reads CPU time as ps prints it: [[days-]hours:]minutes:seconds[.hundredths].
func parseClock(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "-")
	if !ok {
		days, rest = "0", text
	}
	total, err := strconv.ParseFloat(days, 64)
	parts := strings.Split(rest, ":")
	if err != nil || len(parts) < 2 || len(parts) > 3 {
		return 0, fmt.Errorf("CPU time %q", text)
	}
	if len(parts) == 2 {
		parts = append([]string{"0"}, parts...)
	}
	for i, unit := range []float64{24, 60, 60} {
		n, err := strconv.ParseFloat(parts[i], 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("CPU time %q", text)
		}
		total = total*unit + n
	}
	return time.Duration(total * float64(time.Second)), nil
}
