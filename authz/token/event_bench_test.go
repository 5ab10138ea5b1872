package token_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// BenchmarkParseEvent reads one part of a snapshot, as large as servers send them.
func BenchmarkParseEvent(b *testing.B) {
	e := snapshot(0)
	for i := range 130 {
		e.Revocations = append(e.Revocations, token.Revocation{
			Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprintf("2ZQ3F6T4K7M5A%013d", i)}, Until: eventTime.Add(time.Hour),
		})
	}
	payload, err := e.AppendJSON(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.ParseEvent(payload); err != nil {
			b.Fatal(err)
		}
	}
}
