package endpoint

import (
	"context"
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
