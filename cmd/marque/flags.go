package main

import (
	"errors"
	"strings"
	"time"
)

// timeFlag is a flag's time. Its refusal shows how one is written.
type timeFlag time.Time

func (f *timeFlag) String() string {
	if t := time.Time(*f); !t.IsZero() {
		return t.Format(time.RFC3339)
	}
	return ""
}

func (*timeFlag) Type() string { return "time" }

// Set implements pflag.Value.
func (f *timeFlag) Set(s string) error {
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(s))
	if err != nil {
		return errors.New("a time is written such as 2027-01-01T00:00:00Z")
	}
	*f = timeFlag(t)
	return nil
}

// durationFlag is a flag's duration. Its refusal shows how one is written.
type durationFlag time.Duration

func (f *durationFlag) String() string {
	if *f == 0 {
		return ""
	}
	return shortDuration(time.Duration(*f))
}

func (*durationFlag) Type() string { return "duration" }

// Set implements pflag.Value.
func (f *durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("a duration is written with its unit, such as 10m")
	}
	*f = durationFlag(d)
	return nil
}

// noteCommas says what a comma in a scope means, to whoever expects it to separate.
func (a *app) noteCommas(scopes ...string) {
	for _, list := range scopes {
		for scope := range strings.FieldsSeq(list) {
			if strings.Contains(scope, ",") {
				a.note("%q is one scope, comma and all; several are separated by spaces.", scope)
			}
		}
	}
}
