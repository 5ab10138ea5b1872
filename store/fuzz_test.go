package store_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// reopeners read a record of each kind and write what was read again.
func reopeners(env *store.Envelope) map[store.Kind]func(key string, sealed []byte) (value any, again []byte, err, sealErr error) {
	return map[store.Kind]func(key string, sealed []byte) (any, []byte, error, error){
		store.KindResource: func(key string, sealed []byte) (any, []byte, error, error) {
			r, err := env.OpenResource(authz.ResourceID(key), sealed)
			again, sealErr := env.SealResource(r)
			return r, again, err, sealErr
		},
		store.KindRing: func(key string, sealed []byte) (any, []byte, error, error) {
			r, err := env.OpenRing(key, sealed)
			again, sealErr := env.SealRing(r)
			return r, again, err, sealErr
		},
		store.KindRevocation: func(key string, sealed []byte) (any, []byte, error, error) {
			r, err := env.OpenRevocation(key, sealed)
			again, sealErr := env.SealRevocation(r)
			return r, again, err, sealErr
		},
		store.KindClient: func(key string, sealed []byte) (any, []byte, error, error) {
			c, err := env.OpenClient(authz.ClientID(key), sealed)
			again, sealErr := env.SealClient(c)
			return c, again, err, sealErr
		},
	}
}

// FuzzOpenRecord: any body that reads as a record, in whichever format, can be written in the present
// one and reads the same then; and what is said not to read is said by the record's name.
func FuzzOpenRecord(f *testing.F) {
	env := newEnvelope(f, testKey, "marque")
	reopen := reopeners(env)
	for kind := range reopen {
		for format, forms := range map[byte]map[string]string{1: firstForms, 2: secondForms, 3: storedForms} {
			for _, form := range forms {
				f.Add(string(kind), format, "client:x", []byte(form))
			}
		}
	}
	f.Add("revocation", byte(2), "all:", []byte(`{"actor":null,"before":"2026-11-05T12:30:00+01:00","until":null}`))
	f.Add("revocation", byte(2), "all:x", []byte(`{}`))
	f.Add("ring", byte(1), "ES256", []byte(`{"keys":[null,{}]}`))
	f.Add("ring", byte(3), "ES256", []byte(`{"keys":[null,{"imported":true}],"emergency":null}`))
	f.Add("ring", byte(3), "ES256", []byte(`{"emergency":{"at":"2026-11-05T12:30:00+01:00"}}`))
	f.Add("resource", byte(3), "r", []byte(`{"previous_algorithm":"x","algorithm_from":"2026-11-05T12:30:00+01:00"}`))
	f.Fuzz(func(t *testing.T, kind string, format byte, key string, body []byte) {
		open, ok := reopen[store.Kind(kind)]
		if !ok {
			return
		}
		got, again, err, sealErr := open(key, env.SealAs(format, store.Kind(kind), key, 7, body))
		if err != nil {
			var record *store.RecordError
			if !errors.As(err, &record) || record.Kind != store.Kind(kind) || record.Key != key {
				t.Fatalf("the error %v does not name the record", err)
			}
			if want := store.ErrNewerFormat; format > store.Format && !errors.Is(err, want) {
				t.Fatalf("format %d: got error %v, want %v", format, err, want)
			}
			return
		}
		if format < 1 || format > store.Format {
			t.Fatalf("a record of format %d was read", format)
		}
		if sealErr != nil {
			t.Skip("reads, but is not what this program writes") // such as a credential twice
		}
		same, _, err, _ := open(key, again)
		if err != nil {
			t.Fatalf("%s reads as a record that cannot be read again: %v", body, err)
		}
		if d := storetest.Diff(same, got); d != "" {
			t.Fatalf("%s changes (-want +got):\n%s", body, d)
		}
	})
}

// FuzzDecodeEntry: an audit entry that reads, in whichever format, can be written in the present one and
// reads the same then.
func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(storedForms["audit"]))
	f.Add([]byte(firstForms["audit"]))
	f.Add([]byte(`{"format":2,"before":{"a":[1,2.0,"\u0041"]},"after":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := store.DecodeEntry("9", b)
		if err != nil {
			var record *store.RecordError
			if !errors.As(err, &record) || record.Kind != store.KindAudit || record.Key != "9" {
				t.Fatalf("the error %v does not name the entry", err)
			}
			return
		}
		again, err := store.EncodeEntry(e)
		if err != nil {
			t.Skip("reads, but is not what this program writes") // such as one without a time
		}
		same, err := store.DecodeEntry("9", again)
		if err != nil {
			t.Fatalf("%s reads as an entry that cannot be read again: %v", b, err)
		}
		if d := storetest.Diff(same, e); d != "" || !bytes.Equal(same.Before, e.Before) || !bytes.Equal(same.After, e.After) {
			t.Fatalf("%s changes (-want +got):\n%s", b, d)
		}
	})
}

// FuzzSearchClients: a search finds what the plainest way to do it finds, whatever the name.
func FuzzSearchClients(f *testing.F) {
	env := newEnvelope(f, testKey, "marque")
	f.Add("acme", "Acme GmbH", "gmbh", false)
	f.Add("a", "quote \" and \\ and \u2028", `"`, false)
	f.Add("a", `"deleted_at":`, "deleted", true)
	f.Add("a", "", "", false)
	f.Fuzz(func(t *testing.T, id, name, text string, deleted bool) {
		c := authz.Client{ID: authz.ClientID(id), Name: name, Version: 1}
		if deleted {
			c.DeletedAt = fullEntry().Time
		}
		sealed, err := env.SealClient(c)
		if err != nil {
			return
		}
		search := env.SearchClients(text)
		for range 2 { // one search sees many records
			got, found, err := search.Open([]byte(id), sealed)
			if err != nil {
				t.Fatal(err)
			}
			want := !deleted && (strings.Contains(fold(id), fold(text)) || strings.Contains(fold(name), fold(text)))
			if found != want || found && (got.Name != name || got.ID != c.ID) {
				t.Fatalf("%q in %q, %q: got %v, want %v", text, id, name, found, want)
			}
		}
	})
}

func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 32
		}
	}
	return string(b)
}

// Bodies that this program never wrote, and that are authentic all the same, are found by what they say
// and not by how they begin; one that cannot be read is a fault as soon as it would have to be.
func TestSearchClients_OddBodies(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	open := func(body, text string) (bool, error) {
		_, found, err := env.SearchClients(text).Open([]byte("id"), env.Seal(store.KindClient, "id", 1, []byte(body)))
		return found, err
	}
	for body, want := range map[string]bool{
		`{"token_endpoint_auth_method":"","name":"Acme"}`:                                     true,
		`{ "name":"Acme","token_endpoint_auth_method":""}`:                                    true,
		`{"admin":true,"name":"Acme","deleted_at":"2026-11-05T13:30:00Z"}`:                    false,
		`{"\u006eame":"Acme","token_endpoint_auth_method":""}`:                                true,
		`{"name":"\u0041cme","token_endpoint_auth_method":""}`:                                true,
		`{"name":"A\u0063me","token_endpoint_auth_method":"","credentials":[{"id":"acme2"}]}`: true,
		`{"name":"x","credentials":[{"id":"acme"}]}`:                                          false,
	} {
		if found, err := open(body, "ACME"); err != nil || found != want {
			t.Errorf("%s: got %v, %v, want %v", body, found, err, want)
		}
	}
	for _, body := range []string{``, `{`, `{"name":"acme`, `{"name":acme}`, `{"name":"acme\`, `{"name":"\x61cme"}`, `{"name":["acme"]}`, `{"name":null,"stranger":1}`, `{"name":"acme","stranger":1}`} {
		if found, err := open(body, "acme"); found || !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got %v, %v, want ErrDamaged", body, found, err)
		}
	}
	if _, _, err := env.SearchClients("").Open([]byte("id"), env.SealAs(0, store.KindClient, "id", 1, []byte(`{"name":"a"}`))); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("format 0: got error %v", err)
	}
	first := env.SealAs(1, store.KindClient, "id", 1, []byte(firstForms["client"]))
	if c, found, err := env.SearchClients("SÖHNE").Open([]byte("id"), first); err != nil || found {
		t.Errorf("format 1: %v, %v, %v", c.ID, found, err)
	}
	if c, found, err := env.SearchClients("gmbh & S").Open([]byte("id"), first); err != nil || !found || c.Version != 1 {
		t.Errorf("format 1: %v, %v, %v", c.ID, found, err)
	}
}
