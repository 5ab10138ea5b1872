package moving_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// A store that gave out a client and not what the index has of its credentials is not imported: such a credential could be given
// to another client.
func TestCheck_EveryCredentialIsInTheIndex(t *testing.T) {
	t.Parallel()
	k := kek(1)
	for name, spoil := range map[string]func(from installed){
		"missing": func(from installed) {
			from.records[store.KindCredential] = slices.DeleteFunc(from.records[store.KindCredential], func(s store.Stored) bool { return s.Key == "c-client-0001" })
		},
		"of another client": func(from installed) {
			for i, s := range from.records[store.KindCredential] {
				if s.Key == "c-client-0001" {
					from.records[store.KindCredential][i].Octets, _ = from.env.SealOwner("c-client-0001", "client-0000")
				}
			}
		},
	} {
		from := full(t, k, 3)
		if _, err := check(t, export(t, from.source(k)), k); err != nil {
			t.Fatal(err)
		}
		spoil(from)
		_, err := check(t, export(t, from.source(k)), k)
		var line *moving.LineError
		if !errors.As(err, &line) || !errors.Is(err, moving.ErrContent) {
			t.Errorf("%s: got error %v, want a *LineError", name, err)
		}
	}
}
