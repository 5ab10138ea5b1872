package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// level says how a finding ends: only an error makes doctor exit 1.
type level string

const (
	levelOK      level = "ok"
	levelWarning level = "warning"
	levelError   level = "error"
)

// finding is one thing that doctor looked at, and what to do about it.
type finding struct {
	Check   string `json:"check"` // what was looked at: one of few words
	Level   level  `json:"level"`
	Subject string `json:"subject"` // the file, key, record or address
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"` // empty when there is nothing to do
}

// findings collects what doctor finds. No finding holds a secret.
type findings struct{ all []finding }

func (f *findings) ok(check, subject, format string, args ...any) {
	f.all = append(f.all, finding{check, levelOK, subject, fmt.Sprintf(format, args...), ""})
}

func (f *findings) warning(check, subject, fix, format string, args ...any) {
	f.all = append(f.all, finding{check, levelWarning, subject, fmt.Sprintf(format, args...), fix})
}

func (f *findings) error(check, subject, fix, format string, args ...any) {
	f.all = append(f.all, finding{check, levelError, subject, fmt.Sprintf(format, args...), fix})
}

// judgement prints findings, the gravest last, where a terminal shows it, and the verdict.
func judgement(w io.Writer, all []finding) {
	grave := map[level]int{levelOK: 0, levelWarning: 1, levelError: 2}
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b finding) int { return cmp.Compare(grave[a.Level], grave[b.Level]) })
	for _, f := range sorted {
		fmt.Fprintf(w, "%-8s %-10s %s\n", f.Level, clean(f.Check), clean(strings.TrimPrefix(f.Subject+": ", ": ")+f.Message))
		if f.Fix != "" {
			fmt.Fprintf(w, "%-8s %-10s fix: %s\n", "", "", clean(f.Fix))
		}
	}
	fmt.Fprintf(w, "\n%d looked at: %d errors, %d warnings.\n", len(all), countLevel(all, levelError), countLevel(all, levelWarning))
}

func countLevel(all []finding, l level) (n int) {
	for _, f := range all {
		if f.Level == l {
			n++
		}
	}
	return n
}
