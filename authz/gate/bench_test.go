package gate_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkCheck is the gate's own part of an answer: a token that was seen before, without an HTTP server.
func BenchmarkCheck(b *testing.B) {
	l := newLab(b, nil)
	good := "Bearer " + l.token(b, nil)
	for _, dialect := range []string{"require", "auth_request"} {
		b.Run(dialect, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/"+dialect+"/orders:read/-/?x=y", nil)
			r.Header.Set("Authorization", good)
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				clear(w.Header())
				l.ServeHTTP(w, r)
				l.statuses, l.verdicts = l.statuses[:0], l.verdicts[:0]
			}
			if w.Code != http.StatusOK {
				b.Fatal(w.Code)
			}
		})
	}
}
