package authz

import (
	"strings"
	"testing"
)

func (w *world) search(t *testing.T, text string, limit int) (ids []string) {
	t.Helper()
	q := ClientQuery{Text: text, Limit: limit}
	for range 20 { // more pages than there can be
		page, err := w.registry.ListClients(t.Context(), q)
		if err != nil || len(page) > limit {
			t.Fatal(len(page), err)
		}
		for _, c := range page {
			ids = append(ids, string(c.ID))
		}
		if len(page) < limit {
			return ids
		}
		q.After = page[len(page)-1].ID
	}
	t.Fatalf("the pages do not end: %q", ids)
	return nil
}

func TestListClients_WhoseSecretItIs(t *testing.T) {
	w := newWorld(t, nil)
	w.client(t, ClientSpec{ID: "a"})
	_, secret := w.client(t, ClientSpec{ID: "m"})
	w.client(t, ClientSpec{ID: "z"})
	gone, goneSecret := w.client(t, ClientSpec{ID: "gone"})
	if err := w.registry.DeleteClient(t.Context(), admin, gone.ID, anyVersion); err != nil {
		t.Fatal(err)
	}
	id, _ := CredentialIn(secret.Reveal())
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "m", id, SecretRevocation{}); err != nil { // it held it
		t.Fatal(err)
	}
	// Names and another client's identifier that hold the text: each is found once, and in order.
	for _, x := range []string{"b", "n", "y"} {
		w.client(t, ClientSpec{ID: x, Name: "of " + string(id)})
	}
	s := secret.Reveal()
	for text, want := range map[string]string{
		string(id): "b m n y", s: "m", s[:30]: "m", s[:20]: "m", s + "x": "m", // the text is named only where it is no secret
		string(id)[:15]: "b n y", string(id) + "a": "", s[:19]: "", "mrq_" + strings.Repeat("a", 16): "", "mrq_" + strings.Repeat("/", 16): "",
		goneSecret.Reveal(): "", "": "a b m n y z",
	} {
		for limit := 1; limit < 8; limit++ {
			if got := strings.Join(w.search(t, text, limit), " "); got != want {
				t.Errorf("%q, %d to a page: %q, want %q", Redact(text), limit, got, want)
			}
		}
	}
}

// A store that is away does not mean that nobody has the secret.
func TestListClients_NeedsTheStore(t *testing.T) {
	w := newWorld(t, nil)
	w.client(t, ClientSpec{ID: "a"})
	for _, op := range []string{"owner", "list"} {
		w.onCall(func(got string) error {
			if got == op {
				return errDown
			}
			return nil
		})
		if _, err := w.registry.ListClients(t.Context(), ClientQuery{Text: "abcdefghijklmnop", Limit: 1}); err == nil {
			t.Errorf("%s: no error", op)
		}
	}
}
