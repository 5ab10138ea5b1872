package moving_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// sink takes everything and keeps nothing.
type sink struct{ *fake }

func (sink) Restore(context.Context, string, int, []store.Stored) error { return nil }

func (sink) Complete(context.Context, string, int, []store.Stored, uint64, keys.Installation, audit.Entry) error {
	return nil
}

// BenchmarkMoving is without the stores: what the codes and the reading of records take. A row is a client or its
// entry in the index of credentials.
func BenchmarkMoving(b *testing.B) {
	const clients = 5000
	k := kek(1)
	from := full(b, k, clients)
	file := export(b, from.source(k))
	rows := func(b *testing.B, run func() error) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			if err := run(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*2*clients/b.Elapsed().Seconds(), "rows/s")
	}
	b.Run("export", func(b *testing.B) {
		rows(b, func() error {
			_, err := moving.Export(b.Context(), io.Discard, from.source(k))
			return err
		})
	})
	b.Run("check", func(b *testing.B) {
		rows(b, func() error {
			_, err := moving.Check(b.Context(), bytes.NewReader(file), []*jose.KEK{k}, "fake", nil)
			return err
		})
	})
	c, err := moving.Check(b.Context(), bytes.NewReader(file), []*jose.KEK{k}, "fake", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("import", func(b *testing.B) {
		rows(b, func() error {
			t := target(newFake())
			t.Store = sink{newFake()}
			_, err := c.Import(b.Context(), bytes.NewReader(file), t)
			return err
		})
	})
}
