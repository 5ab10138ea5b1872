package storetest

import (
	"errors"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

func withCredentials(id authz.ClientID, version uint64, credentials ...authz.CredentialID) authz.Client {
	c := authz.Client{ID: id, Version: version}
	for _, credential := range credentials {
		c.Credentials = append(c.Credentials, authz.Credential{ID: credential, Scheme: authz.SchemeHMAC})
	}
	return c
}

func wantOwner(t *testing.T, s store.Store, credential authz.CredentialID, want authz.ClientID) {
	t.Helper()
	got, err := s.ClientOf(t.Context(), credential)
	if want == "" {
		if !errors.Is(err, authz.ErrNotFound) {
			t.Errorf("ClientOf %q: got %q, %v, want ErrNotFound", credential, got, err)
		}
		return
	}
	if err != nil || got != want {
		t.Errorf("ClientOf %q: got %q, %v, want %q", credential, got, err, want)
	}
}

func credentialIndex(t *testing.T, f Fixture) {
	wantOwner(t, f.Store, "k1", "")
	wantOwner(t, f.Store, "", "")
	c, err := f.Store.PutClient(t.Context(), withCredentials("a", 0, "k1", "k:2/é"), entry("a"))
	if err != nil {
		t.Fatalf("PutClient: %v", err)
	}
	wantOwner(t, f.Peer, "k1", "a")
	wantOwner(t, f.Peer, "k:2/é", "a")
	// A credential that is gone from the record is still known as one that the client held.
	c, err = f.Store.PutClient(t.Context(), withCredentials("a", c.Version, "k3"), entry("a"))
	if err != nil {
		t.Fatalf("PutClient: %v", err)
	}
	wantOwner(t, f.Peer, "k1", "a")
	wantOwner(t, f.Peer, "k3", "a")
	// It may come back to the same client.
	if _, err := f.Store.PutClient(t.Context(), withCredentials("a", c.Version, "k1", "k3"), entry("a")); err != nil {
		t.Errorf("PutClient with a credential it held before: %v", err)
	}
	for _, bad := range [][]authz.CredentialID{{"twice", "twice"}, {""}, {"\xff"}} {
		unrecorded(t, f.Store, func() {
			if _, err := f.Store.PutClient(t.Context(), withCredentials("b", 0, bad...), entry("b")); err == nil || isAnswer(err) {
				t.Errorf("PutClient with credentials %q: got error %v, want a plain one", bad, err)
			}
		})
	}
	wantOwner(t, f.Store, "twice", "")
}

func credentialOfAnother(t *testing.T, f Fixture) {
	a, err := f.Store.PutClient(t.Context(), withCredentials("a", 0, "k1"), entry("a"))
	if err != nil {
		t.Fatalf("PutClient: %v", err)
	}
	if _, err = f.Store.PutClient(t.Context(), withCredentials("a", a.Version), entry("a")); err != nil {
		t.Fatalf("PutClient: %v", err)
	}
	// Held once is enough: k1 is not in a's record any more.
	unrecorded(t, f.Store, func() {
		_, err := f.Peer.PutClient(t.Context(), withCredentials("b", 0, "k2", "k1"), entry("b"))
		if !errors.Is(err, authz.ErrConflict) {
			t.Errorf("got error %v, want ErrConflict", err)
		}
	})
	if _, err := f.Store.Client(t.Context(), "b"); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("client b: got error %v, want ErrNotFound", err)
	}
	wantOwner(t, f.Store, "k1", "a")
	wantOwner(t, f.Store, "k2", "") // what was claimed before the conflict is given back
}

// credentialIndexDamaged forges the index: were an entry believed, or taken for absent, a client
// could take over another one's credential.
func credentialIndexDamaged(t *testing.T, f Fixture) {
	for _, c := range []authz.Client{withCredentials("a", 0, "k1"), withCredentials("b", 0, "k2")} {
		if _, err := f.Store.PutClient(t.Context(), c, entry(string(c.ID))); err != nil {
			t.Fatalf("PutClient: %v", err)
		}
	}
	genuine := f.Raw.Get(t, store.KindCredential, "k1")
	if genuine == nil {
		t.Fatal("the fixture finds no index entry of k1")
	}
	forNewer := append([]byte(nil), genuine...)
	forNewer[0] = store.Format + 1
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"moved", f.Raw.Get(t, store.KindCredential, "k2"), store.ErrDamaged},
		{"cut off", genuine[:len(genuine)-1], store.ErrDamaged},
		{"empty", []byte{}, store.ErrDamaged},
		{"newer", forNewer, store.ErrNewerFormat},
	} {
		f.Raw.Put(t, store.KindCredential, "k1", c.raw)
		_, err := f.Store.ClientOf(t.Context(), "k1")
		wantFault(t, c.name+": ClientOf", err, c.want, store.KindCredential, "k1")
		unrecorded(t, f.Store, func() {
			_, err := f.Store.PutClient(t.Context(), withCredentials("b", 1, "k2", "k1"), entry("b"))
			wantFault(t, c.name+": PutClient", err, c.want, store.KindCredential, "k1")
		})
		if string(f.Raw.Get(t, store.KindCredential, "k1")) != string(c.raw) {
			t.Errorf("%s: the index entry was overwritten", c.name)
		}
	}
}
