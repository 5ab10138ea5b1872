package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/marque-auth/marque/store"
)

// A record moves to another namespace as it is, whatever its format; there it is what it was, and nowhere
// else.
func TestReseal(t *testing.T) {
	t.Parallel()
	from, err1 := store.NewEnvelope([32]byte{1}, "from")
	to, err2 := store.NewEnvelope([32]byte{1}, "to")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for format := byte(1); format <= store.Format; format++ {
		sealed := from.SealAs(format, store.KindClient, "acme", 7, []byte(storedForms["bare client"]))
		if _, err := to.OpenClient("acme", sealed); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("format %d: moved as it was: %v", format, err)
		}
		version, body, err := from.Open(store.KindClient, "acme", sealed)
		if err != nil {
			t.Fatal(err)
		}
		moved, err := to.Reseal(sealed[0], store.KindClient, "acme", version, body)
		if err != nil || !bytes.Equal(moved, to.SealAs(format, store.KindClient, "acme", 7, body)) {
			t.Errorf("format %d: %x, %v", format, moved, err)
		}
		if c, err := to.OpenClient("acme", moved); err != nil || c.Version != 7 {
			t.Errorf("format %d: %+v, %v", format, c, err)
		}
	}
	for name, c := range map[string]struct {
		format  byte
		key     string
		version uint64
		want    error
	}{
		"newer":      {store.Format + 1, "acme", 1, store.ErrNewerFormat},
		"no format":  {0, "acme", 1, store.ErrDamaged},
		"no version": {store.Format, "acme", 0, store.ErrDamaged},
		"no key":     {store.Format, "", 1, nil},
	} {
		if _, err := to.Reseal(c.format, store.KindClient, c.key, c.version, []byte("{}")); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
