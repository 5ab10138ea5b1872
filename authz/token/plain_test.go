package token

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func plainClaims() Claims {
	return Claims{
		Issuer: "https://as.example", Subject: "c1", ClientID: "c1", Audience: []string{"https://api.example"},
		CredentialID: "k1", Scope: "orders:read orders:write", JTI: "j1",
		IssuedAt: time.Unix(1_800_000_000, 0).UTC(), Expiry: time.Unix(1_800_000_600, 0).UTC(),
	}
}

// What AppendJSON writes of ordinary claims is read without the parser; if this fails, every token has become slower.
func TestPlain_ReadsWhatIsWritten(t *testing.T) {
	for name, change := range map[string]func(*Claims){
		"all":           func(*Claims) {},
		"no credential": func(c *Claims) { c.CredentialID = "" },
		"no scope":      func(c *Claims) { c.Scope = "" },
		"neither":       func(c *Claims) { c.CredentialID, c.Scope = "", "" },
		"the last date": func(c *Claims) { c.Expiry = time.Unix(maxDate, 0).UTC() },
	} {
		c := plainClaims()
		change(&c)
		payload, err := c.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := plainPayload(payload); !ok && name != "the last date" {
			t.Errorf("%s: left to the parser", name)
		}
		got, err := Parse(payload)
		if err != nil || !reflect.DeepEqual(got.Claims, c) {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
}

// What looks nearly like it is left to the parser, which knows what it means.
func TestPlain_LeavesTheRestToTheParser(t *testing.T) {
	c := plainClaims()
	good, err := c.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"iss"`, `"ISS"`},
		{`"iss"`, `"\u0069ss"`},
		{`"c1"`, `"\u00631"`},
		{`"c1"`, `"é"`},
		{`"c1"`, "\"c\x7f\""},
		{`"c1"`, "\"c\n\""},
		{`"c1"`, "\"\xff\""},
		{`"c1"`, `""`},
		{`"c1"`, `"c\"1"`},
		{`"c1"`, `c1`},
		{`"https://api.example"`, `["https://api.example"]`},
		{`,"exp"`, `, "exp"`},
		{`1800000600`, `01800000600`},
		{`1800000600`, `-1800000600`},
		{`1800000600`, `1.8e9`},
		{`1800000600`, `1800000600.5`},
		{`1800000600`, `1800000600E0`},
		{`1800000600`, `999999999999`},
		{`1800000600`, `"1800000600"`},
		{`1800000600`, ``},
		{`"jti":"j1"`, `"jti":"j1","jti":"j2"`},
		{`"jti":"j1"`, `"jti":"j1","cnf":{}`},
		{`"jti":"j1"`, `"jti":"j1","nbf":1`},
		{`"sub":"c1",`, ``},
		{`"j1"}`, `"j1"}}`},
		{`"j1"}`, `"j1"} `},
		{`"j1"}`, `"j1"`},
		{`"j1"}`, `"j1`},
		{`{"iss"`, ` {"iss"`},
	} {
		payload := strings.Replace(string(good), change[0], change[1], 1)
		if payload == string(good) {
			t.Fatalf("%q: nothing changed", change)
		}
		if w, ok := plainPayload([]byte(payload)); ok {
			t.Errorf("%q: read as %+v", change, w)
		}
	}
}

// FuzzPlain: whatever is read without the parser, the parser reads likewise.
func FuzzPlain(f *testing.F) {
	c := plainClaims()
	good, err := c.AppendJSON(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(strings.Replace(string(good), `"credential_id":"k1",`, "", 1)))
	f.Add([]byte(strings.Replace(string(good), `1800000600`, `99999999999`, 1)))
	f.Add([]byte(strings.Replace(string(good), `"c1"`, `"\u0063"`, 1)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		fast, ok := plainPayload(payload)
		if !ok {
			return
		}
		slow, err := readPayload(payload)
		if err != nil || !reflect.DeepEqual(fast, slow) {
			t.Fatalf("%q: %+v, and by the parser %+v, error %v", payload, fast, slow, err)
		}
	})
}
