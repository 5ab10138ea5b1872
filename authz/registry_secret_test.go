package authz

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRegistry_ASecretFromAnotherServer(t *testing.T) {
	w := newWorld(t, nil)
	w.resource(t, ResourceSpec{ID: api})
	spec := ClientSpec{ID: "acme", Name: "Acme", Resources: []string{api}, Secret: brought}
	c, shown, created, err := w.registry.CreateClient(t.Context(), admin, spec)
	if err != nil || !created || shown != "" || c.Credentials[0].Generated || c.Credentials[0].Scheme != SchemeHMAC {
		t.Fatalf("%+v, shown %t, %v", c.Credentials, shown != "", err)
	}
	if _, err := w.server.Token(t.Context(), request("acme", brought)); err != nil {
		t.Errorf("it does not work: %v", err)
	}
	_, err = w.server.Token(t.Context(), request("acme", brought+"x"))
	wantError(t, err, InvalidClient, CauseWrongSecret)

	if _, s, created, err := w.registry.CreateClient(t.Context(), admin, spec); err != nil || created || s != "" {
		t.Errorf("repeated: %t, %v", created, err)
	}
	other := spec
	other.Secret += "x"
	if _, _, _, err := w.registry.CreateClient(t.Context(), admin, other); !errors.Is(err, ErrConflict) {
		t.Errorf("with another secret: %v", err)
	}

	add := SecretSpec{IdempotencyKey: testKey, Secret: "another-SECRET-of-ours-0001"}
	x, s, created, err := w.registry.AddSecret(t.Context(), admin, "acme", add)
	if err != nil || !created || s != "" || x.Generated {
		t.Fatalf("added: %+v, %t, %v", x, created, err)
	}
	if again, s, created, err := w.registry.AddSecret(t.Context(), admin, "acme", add); err != nil || created || s != "" || again.ID != x.ID {
		t.Errorf("repeated: %t, %v", created, err)
	}
	for name, tt := range map[string]SecretSpec{
		"the key with another secret": {IdempotencyKey: testKey, Secret: brought + "y"},
		"the key without a secret":    {IdempotencyKey: testKey},
	} {
		if _, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", tt); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", c.Credentials[0].ID, SecretRevocation{Compromised: true}); err != nil {
		t.Fatal(err)
	}
	// The first one is revoked now: it must not come back under another name, and not as a creation.
	for _, secret := range []Secret{brought, add.Secret} {
		_, _, _, err = w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{Secret: secret})
		wantFields(t, err, "client_secret")
	}
	if _, _, _, err := w.registry.CreateClient(t.Context(), admin, spec); !errors.Is(err, ErrConflict) {
		t.Errorf("created again with the revoked one: %v", err)
	}
	_, err = w.server.Token(t.Context(), request("acme", brought))
	wantError(t, err, InvalidClient, CauseSecretRevoked)
	for _, e := range w.entries {
		if text := string(e.Before) + string(e.After) + e.Reason + e.Target; strings.Contains(text, brought.Reveal()) || strings.Contains(text, add.Secret.Reveal()) {
			t.Errorf("the log shows a secret: %s", text)
		}
	}
}

func TestRegistry_SecretsThatAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	c, ours := w.story(t)
	n := len(w.entries)
	for name, secret := range map[string]Secret{
		"21 characters":           "0123456789abcdefghijk",
		"256 characters":          Secret(strings.Repeat("0123456789abcdef", 16)),
		"seven different ones":    Secret(strings.Repeat("abcdefg", 5)),
		"one character":           Secret(strings.Repeat("a", 40)),
		"a space":                 "0123456789 abcdefghijklm",
		"a line feed":             "0123456789abcdefghijklm\n",
		"not ASCII":               "0123456789abcdefghijklmé",
		"a control character":     "0123456789abcdefghijklm\x00",
		"one that we made":        ours,
		"one that we might make":  newSecret("aaaaaaaaaaaaaaaa"),
		"beginning like ours":     "mrq_0123456789abcdefghijklm",
		"the client's identifier": "acme-acme-0123456789-acme",
		"repeated":                "1234567812345678123456",
		"repeated, and a digit":   "passwordpasswordpassword1",
		"repeated, and a year":    "Summer2026-Summer2026-Summer2026",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{ID: "acme-acme-0123456789-acme", Name: "x", Secret: secret})
			wantFields(t, err, "client_secret")
			if strings.Contains(err.Error(), secret.Reveal()) {
				t.Error("echoed")
			}
			if name != "the client's identifier" {
				_, _, _, err = w.registry.AddSecret(t.Context(), admin, c.ID, SecretSpec{Secret: secret, Expires: w.now().Add(-time.Hour)})
				wantFields(t, err, "client_secret", "client_secret_expires_at")
			}
		})
	}
	if len(w.entries) != n {
		t.Error("something was stored")
	}
	for name, secret := range map[string]Secret{
		"22 characters":       "0123456789abcdefghijkl",
		"255 characters":      Secret(strings.Repeat("0123456789abcdefg", 15)),
		"eight different":     "abcdefghacegbdfhaegcbfdh",
		"all of visible":      `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~`,
		"ours in the middle ": "xmrq_0123456789abcdefghijklm",
	} {
		c, _, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: name, Resources: []string{api}, Secret: secret})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := w.server.Token(t.Context(), request(c.ID, secret)); err != nil {
			t.Errorf("%s does not work: %v", name, err)
		}
	}
}

// A brought secret that anybody who knows the client would try first.
func TestRegistry_ASecretDoesNotSpeakOfItsClient(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	for _, row := range []struct {
		id, name string
		secret   Secret
		ok       bool
	}{
		{"globex", "Globex GmbH", "s3cr3t-of-GLOBEX-0123456789", false},
		{"g-1", "Globex GmbH", "s3cr3t-of-globexgmbh-01234567", false},
		{"g-2", "globex", "https://globex.example/token", false},
		{"g-3", "Globex GmbH", "s3cr3t-of-globe-x-0123456789", true},
		{"g", "Ex", "examine-g-0123456789-abcdef", true}, // by chance
	} {
		_, _, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{ID: row.id, Name: row.name, Resources: []string{api}, Secret: row.secret})
		if row.ok {
			if err != nil {
				t.Errorf("%+v: %v", row, err)
			}
			continue
		}
		wantFields(t, err, "client_secret")
		w.client(t, ClientSpec{ID: row.id, Name: row.name, Resources: []string{api}})
		_, _, _, err = w.registry.AddSecret(t.Context(), admin, ClientID(row.id), SecretSpec{Secret: row.secret})
		wantFields(t, err, "client_secret")
	}
}

// EVT-12: a name is shown, logged and audited. A secret that was put there by mistake is not taken.
func TestEVT12_ASecretIsNoName(t *testing.T) {
	w := newWorld(t, nil)
	c, ours := w.story(t)
	const brought = "p4rtnersecretfromelsewhere1"
	before := len(w.entries)
	_, _, _, err := w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: "the new " + ours.Reveal()})
	wantFields(t, err, "client_name")
	_, _, _, err = w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: brought, Secret: brought})
	wantFields(t, err, "client_secret", "client_name")
	_, _, _, err = w.registry.CreateClient(t.Context(), admin, ClientSpec{Name: "Acme " + brought, Secret: brought})
	wantFields(t, err, "client_name")
	spec := storySpec()
	spec.Name = ours.Reveal()
	_, err = w.registry.UpdateClient(t.Context(), admin, c.ID, anyVersion, spec, false)
	wantFields(t, err, "client_name")
	if len(w.entries) != before {
		t.Error("something was stored")
	}
	mustDo(t)(w.registry.UpdateClient(t.Context(), admin, c.ID, anyVersion, storySpec(), false))
	if _, _, _, err := w.registry.AddSecret(t.Context(), admin, c.ID, SecretSpec{Secret: brought}); err != nil {
		t.Fatal(err)
	}
	spec.Name = brought // that of before
	_, err = w.registry.UpdateClient(t.Context(), admin, c.ID, anyVersion, spec, false)
	wantFields(t, err, "client_name")
	for _, e := range w.journal() {
		if text := string(e.Before) + string(e.After); strings.Contains(text, brought) || strings.Contains(text, ours.Reveal()) {
			t.Errorf("%s says it", e.Action)
		}
	}
}
