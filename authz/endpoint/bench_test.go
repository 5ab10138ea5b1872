package endpoint

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
)

// discarding is a ResponseWriter that keeps nothing, so that what is measured is the handler.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarding) WriteHeader(int)             {}

// again is a body that can be read again and again.
type again struct{ strings.Reader }

func (*again) Close() error { return nil }

// oneRequest returns a function that sends B0 to a handler whose Tokens costs nothing.
func oneRequest(t testing.TB) func() {
	t.Helper()
	c := testConfig(t)
	c.Tokens = tokensFunc(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil })
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, body := tokenPost(b0), &again{}
	r.Body = body
	w := &discarding{http.Header{}}
	return func() {
		body.Reset(b0)
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// The token path is the hot one. What remains: the request id, its context, two values of header
// fields, and the copies of id, secret, scope and resource that outlive the buffer.
func TestToken_Allocations(t *testing.T) {
	const most = 9
	if got := testing.AllocsPerRun(1000, oneRequest(t)); got > most && !UnderRace {
		t.Errorf("%v allocations for each token, want at most %d", got, most)
	}
}

func BenchmarkToken(b *testing.B) {
	send := oneRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
}

// counting is a Meter that costs next to nothing.
type counting struct{ n int }

func (c *counting) Answered(Answered) { c.n++ }

// What the other endpoints, and counting, cost beside Tokens.
func BenchmarkEndpoints(b *testing.B) {
	for name, path := range map[string]string{"token": tokenPath, "introspect": introspectionPath, "revoke": revocationPath} {
		for _, metered := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/metered=%v", name, metered), func(b *testing.B) {
				c := testConfig(b)
				succeeding(&c)
				if metered {
					c.Meter = &counting{}
				}
				h, err := New(c)
				if err != nil {
					b.Fatal(err)
				}
				text, body := b0+"&"+b1, &again{}
				if path != tokenPath {
					text = b1
				}
				r := about(path, text)
				r.Body = body
				w := &discarding{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					body.Reset(text)
					clear(w.header)
					h.ServeHTTP(w, r)
				}
			})
		}
	}
}

func BenchmarkForm(b *testing.B) {
	var f form
	buf := make([]byte, len(b0))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, b0)
		if r := f.parse(buf, formRules{resources: true}); r != nil {
			b.Fatal(r.description)
		}
	}
}
