package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/admin/client"
)

// finding is one thing that doctor looked at, and what to do about it.
type finding admin.Finding

// findings collects what doctor finds. No finding holds a secret.
type findings struct{ all []finding }

func (f *findings) ok(check, subject, format string, args ...any) {
	f.all = append(f.all, finding{check, admin.LevelOK, subject, fmt.Sprintf(format, args...), ""})
}

func (f *findings) warning(check, subject, fix, format string, args ...any) {
	f.all = append(f.all, finding{check, admin.LevelWarning, subject, fmt.Sprintf(format, args...), fix})
}

func (f *findings) error(check, subject, fix, format string, args ...any) {
	f.all = append(f.all, finding{check, admin.LevelError, subject, fmt.Sprintf(format, args...), fix})
}

// judgement prints findings, the gravest last, where a terminal shows them, and the verdict.
func judgement(w io.Writer, all []client.Finding) {
	grave := map[client.FindingLevel]int{client.FindingLevelOk: 0, client.FindingLevelWarning: 1, client.FindingLevelError: 2}
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b client.Finding) int { return cmp.Compare(grave[a.Level], grave[b.Level]) })
	for _, f := range sorted {
		subject := text(f.Subject)
		if subject != "" {
			subject += ": "
		}
		fmt.Fprintf(w, "%-8s %-10s %s\n", f.Level, clean(f.Check), clean(subject+text(f.Message)))
		if f.Fix != nil {
			fmt.Fprintf(w, "%-8s %-10s fix: %s\n", "", "", clean(*f.Fix))
		}
	}
	fmt.Fprintf(w, "\n%d looked at: %s, %s.\n", len(all),
		counted(countLevel(all, client.FindingLevelError), "error"), counted(countLevel(all, client.FindingLevelWarning), "warning"))
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

func countLevel(all []client.Finding, l client.FindingLevel) (n int) {
	for _, f := range all {
		if f.Level == l {
			n++
		}
	}
	return n
}
