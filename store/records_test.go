package store_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

func sealClient(env *store.Envelope, c authz.Client) ([]byte, error) {
	c.Version = 1
	return env.SealClient(c)
}

// body returns what a sealed record says.
func body(t *testing.T, env *store.Envelope, kind store.Kind, key string, sealed []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	_, b, err := env.Open(kind, key, sealed)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return string(b)
}

// The stored forms of format 3, for ever: a change here is a new format.
func TestStoredForms(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	c := storetest.FullClient(t, "acme")
	sealed, err := sealClient(env, c)
	got := map[string]string{"client": body(t, env, store.KindClient, "acme", sealed, err)}
	sealed, err = sealClient(env, authz.Client{ID: "bare"})
	got["bare client"] = body(t, env, store.KindClient, "bare", sealed, err)
	r := storetest.FullResource(t, "https://r.example")
	r.Version = 1
	sealed, err = env.SealResource(r)
	got["resource"] = body(t, env, store.KindResource, "https://r.example", sealed, err)
	sealed, err = env.SealResource(authz.Resource{ID: "r", Version: 1})
	got["bare resource"] = body(t, env, store.KindResource, "r", sealed, err)
	sealed, err = env.SealRing(keys.RingRecord{Algorithm: jose.ES256, Version: 1})
	got["bare ring"] = body(t, env, store.KindRing, "ES256", sealed, err)
	ring := storetest.FullRing(jose.ES256)
	ring.Version = 1
	sealed, err = env.SealRing(ring)
	got["ring"] = body(t, env, store.KindRing, "ES256", sealed, err)
	sealed, err = env.SealOwner("k1", "acme")
	got["credential"] = body(t, env, store.KindCredential, "k1", sealed, err)
	revocation := storetest.FullRevocation(token.Subject{Kind: token.RevokedJTI, Value: "x"})
	revocation.Version = 1
	sealed, err = env.SealRevocation(revocation)
	got["revocation"] = body(t, env, store.KindRevocation, "jti:x", sealed, err)
	sealed, err = env.SealRevocation(authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedAll}}, Version: 1})
	got["bare revocation"] = body(t, env, store.KindRevocation, "all:", sealed, err)
	b, err := store.EncodeInstallation(storetest.FullInstallation("i"))
	if err != nil {
		t.Fatal(err)
	}
	got["installation"] = string(b)
	entry := fullEntry()
	if b, err = store.EncodeEntry(entry); err != nil {
		t.Fatal(err)
	}
	got["audit"] = string(b)
	entry.Before, entry.After = nil, nil
	if b, err = store.EncodeEntry(entry); err != nil {
		t.Fatal(err)
	}
	got["bare audit"] = string(b)
	for name, want := range storedForms {
		if got[name] != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got[name], want)
		}
	}
	if len(got) != len(storedForms) {
		t.Errorf("got %d forms, want %d", len(got), len(storedForms))
	}
}

func fullEntry() audit.Entry {
	return audit.Entry{
		Time:   time.Date(2026, 11, 5, 13, 30, 0, 5, time.FixedZone("", 3600)),
		Origin: audit.Origin{Actor: audit.Actor{Kind: "uid", ID: "0"}, Reason: "why", RequestID: "r"},
		Action: "client.create", Target: "acme", Result: "done",
		Before: jsontext.Value(`{"disabled":false}`), After: jsontext.Value(`{"disabled":true,"name":"\u0041é"}`),
	}
}

// secondResource is what format 2 could say of a resource, and secondRing of a ring.
func secondResource(t *testing.T) authz.Resource {
	r := storetest.FullResource(t, "https://r.example")
	r.PreviousAlgorithm, r.AlgorithmFrom = "", time.Time{}
	return r
}

func secondRing() keys.RingRecord {
	r := storetest.FullRing(jose.ES256)
	r.Keys[0].Imported, r.Emergency = false, keys.Emergency{}
	return r
}

// reads returns a function that checks what was read.
func reads(t *testing.T) func(name string, got, want any, err error) {
	return func(name string, got, want any, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := storetest.Diff(got, want); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// What format 2 said reads as it was meant, and has nothing of format 3.
func TestSecondForms(t *testing.T) {
	env, want := newEnvelope(t, testKey, "marque"), reads(t)
	seal := func(kind store.Kind, key, form string) []byte {
		return env.SealAs(2, kind, key, 7, []byte(secondForms[form]))
	}
	client := storetest.FullClient(t, "acme")
	client.Version = 7
	gotClient, err := env.OpenClient("acme", seal(store.KindClient, "acme", "client"))
	want("client", gotClient, client, err)
	gotClient, err = env.OpenClient("bare", seal(store.KindClient, "bare", "bare client"))
	want("bare client", gotClient, authz.Client{ID: "bare", Version: 7}, err)

	resource := secondResource(t)
	resource.Version = 7
	gotResource, err := env.OpenResource("https://r.example", seal(store.KindResource, "https://r.example", "resource"))
	want("resource", gotResource, resource, err)

	ring := secondRing()
	ring.Version = 7
	gotRing, err := env.OpenRing("ES256", seal(store.KindRing, "ES256", "ring"))
	want("ring", gotRing, ring, err)

	gotOwner, err := env.OpenOwner("k1", seal(store.KindCredential, "k1", "credential"))
	want("credential", gotOwner, authz.ClientID("acme"), err)

	revocation := storetest.FullRevocation(token.Subject{Kind: token.RevokedJTI, Value: "x"})
	revocation.Version = 7
	gotRevocation, err := env.OpenRevocation("jti:x", seal(store.KindRevocation, "jti:x", "revocation"))
	want("revocation", gotRevocation, revocation, err)
	all := authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedAll}}, Version: 7}
	gotRevocation, err = env.OpenRevocation("all:", seal(store.KindRevocation, "all:", "bare revocation"))
	want("bare revocation", gotRevocation, all, err)
}

// What format 1 said reads as it was meant, and has nothing of format 2.
func TestFirstForms(t *testing.T) {
	env, want := newEnvelope(t, testKey, "marque"), reads(t)
	seal := func(kind store.Kind, key, form string) []byte {
		return env.SealAs(1, kind, key, 7, []byte(firstForms[form]))
	}
	client := storetest.FullClient(t, "acme")
	client.Admin, client.IntrospectionAlgorithm, client.DeletedAt, client.Version = false, "", time.Time{}, 7
	gotClient, err := env.OpenClient("acme", seal(store.KindClient, "acme", "client"))
	want("client", gotClient, client, err)
	gotClient, err = env.OpenClient("bare", seal(store.KindClient, "bare", "bare client"))
	want("bare client", gotClient, authz.Client{ID: "bare", Version: 7}, err)

	resource := secondResource(t)
	resource.DeletedAt, resource.Version = time.Time{}, 7
	gotResource, err := env.OpenResource("https://r.example", seal(store.KindResource, "https://r.example", "resource"))
	want("resource", gotResource, resource, err)

	ring := secondRing()
	ring.Keys[0].RevokedAt, ring.Version = time.Time{}, 7
	gotRing, err := env.OpenRing("ES256", seal(store.KindRing, "ES256", "ring"))
	want("ring", gotRing, ring, err)

	gotOwner, err := env.OpenOwner("k1", seal(store.KindCredential, "k1", "credential"))
	want("credential", gotOwner, authz.ClientID("acme"), err)

	gotInstallation, err := store.DecodeInstallation("marque", []byte(firstForms["installation"]))
	want("installation", gotInstallation, storetest.FullInstallation("i"), err)

	entry := fullEntry()
	entry.Before, entry.After, entry.ID, entry.Time = nil, nil, "12", entry.Time.UTC()
	gotEntry, err := store.DecodeEntry("12", []byte(firstForms["audit"]))
	want("audit", gotEntry, entry, err)
}

// A record that calls itself format 2 and says what only format 3 could say was written by neither.
func TestSecondForms_WithoutLaterMembers(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	open := openers(env)
	for kind, bodies := range map[store.Kind][]string{
		store.KindResource: {
			storedForms["resource"], `{"previous_algorithm":""}`, `{"algorithm_from":"2026-11-05T13:30:00Z"}`,
		},
		store.KindRing: {
			storedForms["ring"], `{"emergency":{}}`, `{"emergency":null}`, `{"keys":[{"kid":"","imported":false}]}`,
		},
	} {
		for _, body := range bodies {
			for _, format := range []byte{1, 2} {
				if err := open[kind](env.SealAs(format, kind, "client:x", 1, []byte(body))); !errors.Is(err, store.ErrDamaged) {
					t.Errorf("%s %s, format %d: got error %v, want ErrDamaged", kind, body, format, err)
				}
			}
		}
	}
}

// A record that calls itself format 1 and says what only format 2 could say was written by neither.
func TestFirstForms_WithoutLaterMembers(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	open := openers(env)
	for kind, bodies := range map[store.Kind][]string{
		store.KindClient: {
			secondForms["client"], `{"name":"","token_endpoint_auth_method":"","admin":false}`, `{"name":"","token_endpoint_auth_method":"","admin":true}`,
			`{"name":"","token_endpoint_auth_method":"","introspection_signed_response_alg":"ES256"}`,
			`{"name":"","token_endpoint_auth_method":"","deleted_at":"2026-11-05T13:30:00Z"}`,
			`{"deleted_at":"2026-11-05T13:30:00Z","name":"","token_endpoint_auth_method":""}`,
		},
		store.KindResource:   {secondForms["resource"]},
		store.KindRing:       {secondForms["ring"], `{"keys":[{"kid":"","alg":"","wire_alg":"","revoked_at":"2026-11-05T13:30:00Z"}]}`},
		store.KindRevocation: {secondForms["revocation"], secondForms["bare revocation"], `{}`},
	} {
		for _, body := range bodies {
			if err := open[kind](env.SealAs(1, kind, "client:x", 1, []byte(body))); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s %s: got error %v, want ErrDamaged", kind, body, err)
			}
		}
	}
	for _, entry := range []string{storedForms["audit"], `{"format":2,"before":{},`, `{"format":2,"after":null,`} {
		entry = strings.Replace(entry, `"format":2`, `"format":1`, 1)
		if strings.HasSuffix(entry, ",") {
			entry += `"time":"2026-11-05T12:30:00Z","actor":{"kind":"uid","id":"0"},"action":"a","target":"t","result":"done"}`
		}
		if _, err := store.DecodeEntry("1", []byte(entry)); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got error %v, want ErrDamaged", entry, err)
		}
	}
}

// openers reads any kind of record under the key "client:x", which all of them can have.
func openers(env *store.Envelope) map[store.Kind]func(b []byte) error {
	const x = "client:x"
	return map[store.Kind]func(b []byte) error{
		store.KindClient:     func(b []byte) error { _, err := env.OpenClient(x, b); return err },
		store.KindResource:   func(b []byte) error { _, err := env.OpenResource(x, b); return err },
		store.KindRing:       func(b []byte) error { _, err := env.OpenRing(x, b); return err },
		store.KindCredential: func(b []byte) error { _, err := env.OpenOwner(x, b); return err },
		store.KindRevocation: func(b []byte) error { _, err := env.OpenRevocation(x, b); return err },
	}
}

// storetest's samples must set every field, or the round trips would not notice one that is not
// stored.
func TestSamplesAreFull(t *testing.T) {
	for _, sample := range []any{
		storetest.FullClient(t, "acme"), storetest.FullResource(t, "r"), storetest.FullRing("ES256"), storetest.FullInstallation("i"),
		storetest.FullRevocation(token.Subject{Kind: token.RevokedJTI, Value: "x"}),
	} {
		wantFull(t, reflect.TypeOf(sample).Name(), reflect.ValueOf(sample))
	}
}

func wantFull(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[authz.ScopeSet]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" { // the envelope's
				wantFull(t, path+"."+name, v.Field(i))
			}
		}
		return
	case v.Kind() == reflect.Slice && v.Len() > 0:
		wantFull(t, path+"[0]", v.Index(0))
		return
	}
	if v.IsZero() && v.Kind() != reflect.Uint8 {
		t.Errorf("%s is not set in the sample", path)
	}
}

// What could not be read back exactly is not written.
func TestSealClient_Refuses(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	for name, spoil := range map[string]func(*authz.Client){
		"no identifier":   func(c *authz.Client) { c.ID = "" },
		"name not UTF-8":  func(c *authz.Client) { c.Name = "a\xff" },
		"grant not UTF-8": func(c *authz.Client) { c.GrantTypes = []string{"\xff"} },
		"half a second":   func(c *authz.Client) { c.TokenLifetime = 500 * time.Millisecond },
		"negative":        func(c *authz.Client) { c.TokenLifetime = -time.Second },
		"centuries":       func(c *authz.Client) { c.TokenLifetime = 1 << 62 },
		"claim without":   func(c *authz.Client) { c.Claims = []token.Static{{Name: "a/b"}} },
		"claim not JSON":  func(c *authz.Client) { c.Claims = []token.Static{{Name: "a/b", Value: jsontext.Value(`{`)}} },
		"claim with two":  func(c *authz.Client) { c.Claims = []token.Static{{Name: "a/b", Value: jsontext.Value(`1,"x":2`)}} },
		"claim repeating": func(c *authz.Client) {
			c.Claims = []token.Static{{Name: "a/b", Value: jsontext.Value(`{"a":1,"a":2}`)}}
		},
		"year 10000":         func(c *authz.Client) { c.CreatedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"credential unnamed": func(c *authz.Client) { c.Credentials[0].ID = "" },
		"credential twice":   func(c *authz.Client) { c.Credentials[1].ID = c.Credentials[0].ID },
	} {
		c := storetest.FullClient(t, "acme")
		spoil(&c)
		if sealed, err := sealClient(env, c); err == nil {
			t.Errorf("%s: got %s, want an error", name, sealed)
		}
	}
	if _, err := env.SealClient(authz.Client{ID: "acme"}); err == nil {
		t.Error("version 0: got no error")
	}
}

func TestSeal_RefusesTimes(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	if _, err := env.SealResource(authz.Resource{ID: "r", Version: 1, TokenLifetime: time.Millisecond}); err == nil {
		t.Error("resource: got no error")
	}
	for _, w := range []keys.Windows{{PublishLead: time.Millisecond}, {RetireAfter: -time.Second}} {
		if _, err := env.SealRing(keys.RingRecord{Algorithm: "ES256", Version: 1, Keys: []keys.Key{{Windows: w}}}); err == nil {
			t.Errorf("ring, %v: got no error", w)
		}
	}
	if _, err := env.SealResource(authz.Resource{ID: "r", Version: 1, AlgorithmFrom: time.Unix(1, 1)}); err == nil {
		t.Error("resource whose algorithm changes between two seconds: got no error")
	}
	if _, err := env.SealRing(keys.RingRecord{Algorithm: "ES256", Version: 1, Emergency: keys.Emergency{At: time.Unix(1, 1)}}); err == nil {
		t.Error("ring with an emergency between two seconds: got no error")
	}
	if _, err := env.SealOwner("k", ""); err == nil {
		t.Error("credential of nobody: got no error")
	}
}

// A body that fits its code but not its format is damage all the same: this program did not write
// it so. The message says where, and does not quote what is there.
func TestOpen_StrictBody(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	const x = "client:x"
	open := openers(env)
	for kind, open := range open {
		for _, bad := range []string{
			``, `null`, `null x`, ` {}`, `[]`, `"s3cret"`, `{`, `{} {}`, `{"stranger":1}`, `{"Name":"x","NAME":"s3cret"}`, "{\"name\":\"\xff\"}",
			`{"name":7}`, `{"name":"a","name":"s3cret"}`, "\xef\xbb\xbf{}", `{"scope":["s3cret"]}`, `{"keys":"s3cret"}`, `{"client_id":["s3cret"]}`,
		} {
			err := open(env.Seal(kind, x, 1, []byte(bad)))
			var record *store.RecordError
			if !errors.Is(err, store.ErrDamaged) || !errors.As(err, &record) || record.Kind != kind || record.Key != x {
				t.Errorf("%s %s: got error %v, want ErrDamaged", kind, bad, err)
				continue
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s %s: the message quotes the content: %v", kind, bad, err)
			}
		}
	}
	for kind, bodies := range map[store.Kind][]string{
		store.KindClient: {
			`{"name":"","token_endpoint_auth_method":"","scope":"a  b"}`, `{"name":"","token_endpoint_auth_method":"","default_scope":" "}`,
			`{"name":"","token_endpoint_auth_method":"","token_lifetime":-1}`, `{"name":"","token_endpoint_auth_method":"","token_lifetime":9999999999}`,
			`{"name":"","token_endpoint_auth_method":"","created_at":"yesterday"}`, `{"name":"","token_endpoint_auth_method":"","credentials":[{"id":"k","scheme":"","digest":"!"}]}`,
		},
		store.KindResource: {
			`{"token_lifetime":-1,"algorithm":"","token_type":""}`, `{"token_lifetime":1,"algorithm":"","token_type":"","scope":"\u0007"}`,
			`{"algorithm_from":"2026-11-05T12:30:00.5Z"}`, `{"algorithm_from":1}`, `{"previous_algorithm":["x"]}`,
		},
		store.KindRing: {
			`{"keys":[{"kid":"","alg":"","wire_alg":"","publish_lead":-1}]}`, `{"keys":[{"kid":"","alg":"","wire_alg":"","retire_after":-1}]}`,
			`{"keys":[{"imported":1}]}`, `{"emergency":"x"}`, `{"emergency":{"at":"2026-11-05T12:30:00.000000001Z"}}`, `{"emergency":{"stranger":1}}`,
		},
		store.KindCredential: {`{}`, `{"client_id":""}`},
		store.KindRevocation: {
			`{"until":"2026-11-05T12:30:00.5Z"}`, `{"before":"2026-11-05T12:30:00.000000001Z"}`, `{"since":"2026-11-05T12:30:00.1+00:00"}`,
			`{"until":1}`, `{"actor":"uid:0"}`, `{"subject":"all:"}`, `{"version":2}`,
		},
	} {
		for _, bad := range bodies {
			if err := open[kind](env.Seal(kind, x, 1, []byte(bad))); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s %s: got error %v, want ErrDamaged", kind, bad, err)
			}
		}
	}
}

// What an entry says of before and after reads back as it was given, or is refused with its write.
func TestEncodeEntry_Refuses(t *testing.T) {
	for _, bad := range []string{``, ` {}`, `{} `, `{"a": 1}`, `{`, `null`, `[]`, `"{}"`, `1`, `{"a":1,"a":2}`, `{}{}`, "{\"a\":\"\xff\"}"} {
		before, after := fullEntry(), fullEntry()
		before.Before, after.After = jsontext.Value(bad), jsontext.Value(bad)
		for _, e := range []audit.Entry{before, after} {
			if b, err := store.EncodeEntry(e); err == nil {
				t.Errorf("%q: got %s, want an error", bad, b)
			}
		}
	}
	given := jsontext.Value(`{"a":{"b":[1.50,"\u0041",null]}}`)
	e := fullEntry()
	e.Before, e.After = given, nil
	b, err := store.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.DecodeEntry("1", b); err != nil || string(got.Before) != string(given) || got.After != nil {
		t.Errorf("got %s and %s, %v", got.Before, got.After, err)
	}
}

func TestDecodeEntry_Strict(t *testing.T) {
	for bad, want := range map[string]error{
		``: store.ErrDamaged, `{}`: store.ErrDamaged, `null`: store.ErrDamaged, `{"format":"1"}`: store.ErrDamaged,
		`{"format":1,"stranger":1}`: store.ErrDamaged, `{"format":1} x`: store.ErrDamaged, `{"format":-1}`: store.ErrDamaged,
		`{"format":2,"before":null}`: store.ErrDamaged, `{"format":2,"before":[]}`: store.ErrDamaged, `{"format":2,"after":"x"}`: store.ErrDamaged,
		`{"format":2,"after":{"a": 1}}`: store.ErrDamaged, `{"format":2,"after":{"a":1,"a":2}}`: store.ErrDamaged,
		`{"format":3}`: store.ErrNewerFormat, `{"format":4,"stranger":[1]}`: store.ErrNewerFormat,
	} {
		_, err := store.DecodeEntry("7", []byte(bad))
		var record *store.RecordError
		if !errors.Is(err, want) || !errors.As(err, &record) || record.Kind != store.KindAudit || record.Key != "7" {
			t.Errorf("%s: got error %v, want %v", bad, err, want)
		}
	}
}

func TestStoredDigestIsBase64(t *testing.T) {
	// The digest's NUL and high octets survive; hex only to compare here.
	env := newEnvelope(t, testKey, "marque")
	want := authz.Client{ID: "c", Credentials: []authz.Credential{{ID: "k", Digest: []byte{0, 0xff, 0x80, '"'}}}}
	sealed, err := sealClient(env, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := env.OpenClient("c", sealed)
	if err != nil || hex.EncodeToString(got.Credentials[0].Digest) != "00ff8022" {
		t.Errorf("got %x, %v", got.Credentials[0].Digest, err)
	}
}
