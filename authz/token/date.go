package token

import (
	"math"
	"strconv"
	"strings"
)

// maxDate is the last second of the year 9999: beyond it RFC 3339 has no words, and logs no columns.
const maxDate = 253402300799

// maxDateText bounds the text of a NumericDate, in bytes.
const maxDateText = 32

// numericDate is a NumericDate (RFC 7519, Section 2): whole seconds, and whether there was more.
type numericDate struct {
	present  bool
	seconds  int64
	fraction bool
}

// floor and ceil round to whole seconds. A check takes whichever refuses more.
func (d numericDate) floor() int64 { return d.seconds }

func (d numericDate) ceil() int64 {
	if d.fraction {
		return d.seconds + 1
	}
	return d.seconds
}

// parseDate reads the text of a JSON number (JWT-43): fractions and small exponents pass, a sign, a
// huge exponent, and what lies beyond maxDate do not. The text is known to be a JSON number.
func parseDate(text string) (numericDate, bool) {
	if len(text) > maxDateText || strings.HasPrefix(text, "-") {
		return numericDate{}, false
	}
	// 1e-400 would quietly become 0, and 1e400 an error; neither is a time.
	if i := strings.IndexAny(text, "eE"); i >= 0 && len(strings.TrimLeft(text[i+1:], "+-")) > 2 {
		return numericDate{}, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f > maxDate {
		return numericDate{}, false
	}
	whole := math.Floor(f)
	return numericDate{present: true, seconds: int64(whole), fraction: f != whole}, true
}
