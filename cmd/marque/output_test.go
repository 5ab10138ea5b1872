package main

import (
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// TestOutputSteersNoTerminal: a name that an earlier version, or another tool, let in must not move
// the cursor, colour the terminal or forge a line of a table.
func TestOutputSteersNoTerminal(t *testing.T) {
	var b strings.Builder
	table(&b, []string{"name"}, [][]string{{"a\x1b[2J\r\nforged\tline\u009b1m"}, {""}})
	if strings.ContainsAny(b.String(), "\x1b\r\t\u009b") || strings.Count(b.String(), "\n") != 3 {
		t.Errorf("%q", b.String())
	}
}

func TestProblemsNameFlags(t *testing.T) {
	p := &client.Problem{Title: "Bad Request", Status: 400, Errors: &[]client.FieldProblem{
		{Field: "client_name", Rule: "is bad"}, {Field: "resources/1", Rule: "is unknown"}, {Field: "other", Rule: "is odd"},
	}}
	if got, want := refusedBy(p, 400).Error(), "--name: is bad; --resource: is unknown; other: is odd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := refusedBy(&client.Problem{Title: "Conflict", Status: 409}, 409).Error(); got != "conflict" {
		t.Error(got)
	}
	if got := refusedBy(nil, 502).Error(); !strings.Contains(got, "502") {
		t.Error(got)
	}
	if got := refusedBy(&client.Problem{Title: "Internal Server Error", Status: 500, RequestID: "R1"}, 500).Error(); !strings.Contains(got, "R1") {
		t.Error(got)
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h",
		time.Hour + time.Second: "1h0m1s", 24 * time.Hour: "24h", 100 * time.Millisecond: "100ms",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
