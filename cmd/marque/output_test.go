package main

import (
	"net/http"
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
	p.Detail = new("errors names every field that breaks a rule")
	if got, want := refusedBy(p, 400, subject{}).Error(), "nothing was changed:\n  --name: is bad\n  --resource: is unknown\n  other: is odd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := refusedBy(&client.Problem{Title: "Conflict", Status: 409}, 409, subject{}).Error(); got != "conflict" {
		t.Error(got)
	}
	if got := refusedBy(nil, 502, subject{}).Error(); !strings.Contains(got, "502") {
		t.Error(got)
	}
	if got := refusedBy(&client.Problem{Title: "Internal Server Error", Status: 500, RequestID: "R1"}, 500, subject{}).Error(); !strings.Contains(got, "R1") {
		t.Error(got)
	}
}

// TestProblemsNameWhatWasTyped: absence and doubles are told in the user's words, with a next step.
func TestProblemsNameWhatWasTyped(t *testing.T) {
	detail := "it is not so"
	for _, c := range []struct {
		status int
		about  subject
		want   string
	}{
		{404, clientSubject("nobody"), `no client "nobody"; see marque client list`},
		{404, resourceSubject("https://a.example"), `no resource "https://a.example"; see marque resource list`},
		{404, credentialSubject("a", "abcdefghijklmnop"), `no client "a" with a secret "abcdefghijklmnop"; see marque client list, and marque client secret list a`},
		{404, credentialSubject("a", "b"), `no client "a" with a secret of that credential_id; see marque client list, and marque client secret list a`},
		{404, ringSubject("RS256"), "no resource is signed with RS256 yet"},
		{404, ringSubject(""), detail},
		{409, newSubject("client", "acme"), "acme is registered already with other settings; marque client show acme shows them"},
		{409, newSubject("client", ""), detail},
		{409, clientSubject("acme"), detail}, // too many secrets, changed meanwhile
		{409, subject{}, detail},
		{429, clientSubject("acme"), detail},
	} {
		if got := refusedBy(&client.Problem{Status: c.status, Detail: &detail}, c.status, c.about).Error(); got != c.want {
			t.Errorf("%d: got %q, want %q", c.status, got, c.want)
		}
	}
}

// TestFirstRequest: what the first request of a client needs is said when it is registered.
func TestFirstRequest(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	defined := map[string][]string{a: {"x", "y"}, b: {"z"}}
	for _, c := range []struct {
		name                string
		resources           []string
		scope, defaultScope string
		defined             map[string][]string
		want                string // "" for silence
	}{
		{"no resource", nil, "", "", nil, "gets no tokens"},
		{"no scope", []string{a}, "", "", nil, "its tokens carry none"},
		{"no default scope", []string{a}, "x y", "", nil, "needs scope=x+y"},
		{"one resource", []string{a}, "x y", "x", nil, ""},
		{"of one of two", []string{a, b}, "x y z", "x y", defined, "several resources and no default"},
		{"of both", []string{a, b}, "x y z", "x z", defined, "needs resource=URI"},
		{"not known", []string{a, b}, "x y z", "x z", nil, "several resources and no default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var errs strings.Builder
			(&app{stderr: &errs}).firstRequest(&client.RegisteredClient{Resources: c.resources, Scope: c.scope, DefaultScope: c.defaultScope}, c.defined)
			if got := errs.String(); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
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

// TestArgumentsThatMayBeSecrets: what is typed in the wrong place is repeated only if it cannot be one.
func TestArgumentsThatMayBeSecrets(t *testing.T) {
	for arg, want := range map[string]bool{
		"acme": false, "acme-orders.prod_2": false, "Acme2": false, "frobnicate": false, "https://a.example/Orders/2024": false,
		"abcdefghijklmnopqrstuvwxyz": false, "abcdefghijklmnopqrstuvwxy2": false, // as the server makes identifiers
		"S3cr3tOldValue": true, "0123456789abcdef0123456789abcdef": true, "correcthorsebattery": true, "pa$$word": true,
		"kJ8-2ssQ-x1": true, "mrq_x": true, "eyJh.eyJp.x": true,
	} {
		if got := mayBeSecret(arg); got != want {
			t.Errorf("%s: %v, want %v", arg, got, want)
		}
	}
	for name, want := range map[string]bool{
		"Acme": false, "Acme Orders 2024, the European production of it": false, "Donaudampfschifffahrtsgesellschaft": false,
		"S3cr3tOfThePartner2019ofOld": true, "0123456789abcdef0123456789abcdef": true, "mrq_abcdefgh_secretsecret": true,
	} {
		if got := shapedSecret(name); got != want {
			t.Errorf("name %s: %v, want %v", name, got, want)
		}
	}
}

func TestOlderAnswer(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	answer := http.Header{"Date": {now.Format(http.TimeFormat)}}
	for made, want := range map[time.Time]bool{
		now: false, now.Add(-time.Second): false, now.Add(-2 * time.Second): true, now.Add(time.Minute): false,
	} {
		if got := olderAnswer(made, answer); got != want {
			t.Errorf("%v: %v, want %v", now.Sub(made), got, want)
		}
	}
	if olderAnswer(now.Add(-time.Hour), http.Header{}) {
		t.Error("judged without the server's clock")
	}
}
