package token_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/token"
)

// clm01 is the list of CLM-01, word by word.
const clm01 = `iss sub aud exp nbf iat jti client_id scope cnf act may_act authorization_details status
	status_list ttl events sub_id txn token_introspection acr amr auth_time azp nonce sid credential_id`

func TestCLM01_ReservedClaims(t *testing.T) {
	for name := range strings.FieldsSeq(clm01) {
		if !token.ReservedClaim(name) {
			t.Errorf("%s is free", name)
		}
		if token.CheckStatic(name, jsontext.Value(`"x"`)) == nil {
			t.Errorf("%s can be configured", name)
		}
	}
}

func TestCLM02_CaseVariantsAndLookAlikes(t *testing.T) {
	for name := range strings.FieldsSeq(clm01) {
		variants := []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], name + "_", "-" + name}
		if strings.Contains(name, "_") {
			variants = append(variants, strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(name, "_", "-"))
		}
		for _, v := range variants {
			if !token.ReservedClaim(v) {
				t.Errorf("%s is free", v)
			}
		}
	}
	// A long s, a Kelvin sign, a Cyrillic es, a space, a zero-width space, an invalid byte.
	for _, v := range []string{"client_Id", "\u017fcope", "\u017fub", "\u0441ub", "sub ", "su\u200bb", "sub\xff", "sub\n", ""} {
		if !token.ReservedClaim(v) {
			t.Errorf("%q is free", v)
		}
	}
	for _, v := range []string{"roles", "groups", "https://partner.example/sub", "urn:acme:scope"} {
		if token.ReservedClaim(v) {
			t.Errorf("%s is reserved", v)
		}
	}
}

func TestCLM06_SynonymsOfScope(t *testing.T) {
	for _, v := range []string{"scp", "scopes", "permissions", "SCP", "Permissions"} {
		if !token.ReservedClaim(v) {
			t.Errorf("%s is free", v)
		}
	}
}

func TestCLM03_CollisionResistantNames(t *testing.T) {
	tests := map[string]bool{
		"https://partner.example/tier":      true,
		"http://partner.example/tier":       true,
		"urn:acme:tier":                     true,
		"tier":                              false,
		"acme/tier":                         false,
		"a:b":                               false,
		"//partner.example/tier":            false,
		"https:///tier":                     false,
		"https://user@partner.example/tier": false,
		"https://partner.example/\"":        false,
		`https://partner.example/\`:         false,
		"https://partner.example/" + strings.Repeat("a", 256): false,
		"https://partner.example/é":                           false,
		"email":                                               false,
		"Roles":                                               false,
		"https://partner.example/a b":                         false,
		"https://partner.example/%zz":                         false,
	}
	for name, want := range tests {
		if err := token.CheckStatic(name, jsontext.Value(`"gold"`)); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCLM04_JWT18_RegisteredNamesKeepTheirType(t *testing.T) {
	tests := map[string]bool{
		`["admin","reader"]`:  true,
		`[{"value":"admin"}]`: true,
		`[{"value":"a","display":"A","type":"t","primary":true}]`: true,
		`[{"value":"a","$ref":"https://x/Groups/1"}]`:             true,
		`"admin"`:                          false,
		`{"value":"admin"}`:                false,
		`[1]`:                              false,
		`[""]`:                             false,
		`[null]`:                           false,
		`[["admin"]]`:                      false,
		`[{}]`:                             false,
		`[{"value":1}]`:                    false,
		`[{"value":""}]`:                   false,
		`[{"display":"A"}]`:                false,
		`[{"value":"a","x":1}]`:            false,
		`[{"value":"a","primary":"true"}]`: false,
		`[]`:                               false,
	}
	for value, want := range tests {
		for _, name := range []string{"roles", "groups", "entitlements"} {
			if err := token.CheckStatic(name, jsontext.Value(value)); (err == nil) != want {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
	}
}

func TestCLM07_Values(t *testing.T) {
	const name = "https://partner.example/x"
	deep := strings.Repeat("[", 9) + strings.Repeat("]", 9)
	refused := []string{
		``, `null`, `""`, `[]`, `{}`, ` 1`, `1 `, `[1, 2]`, `1,"exp":2`, `{"a":1,"a":2}`, "\"\xff\"", `01`, `nul`, `'x'`, `1 2`,
		deep, `1e400`, `[1e400]`, `-1e400`, `"` + strings.Repeat("a", token.MaxStaticValue) + `"`,
	}
	for _, v := range refused {
		if token.CheckStatic(name, jsontext.Value(v)) == nil {
			t.Errorf("%.40q was taken", v)
		}
	}
	taken := []string{`0`, `false`, `true`, `-1.5e3`, `"é"`, `{"a":[{"b":null}]}`, deep[1:17], `[""]`, `"` + strings.Repeat("a", token.MaxStaticValue-2) + `"`}
	for _, v := range taken {
		if err := token.CheckStatic(name, jsontext.Value(v)); err != nil {
			t.Errorf("%.40q: %v", v, err)
		}
	}
}
