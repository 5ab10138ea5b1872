package endpoint

import (
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
)

const assertionPair = "client_assertion=x.y.z&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"

func TestPresented(t *testing.T) {
	basic := basicField("c1", "s1")
	for name, c := range map[string]struct {
		authorization string // none: no field
		body          string
		want          authz.Presented
		refused       *refusal
	}{
		"TKE-26 nothing":                             {"none", "", authz.Presented{}, nil},
		"TKE-26 empty parameters are nothing":        {"none", "client_id=&client_secret=&client_assertion=", authz.Presented{}, nil},
		"TKE-27 an id":                               {"none", "client_id=c1", authz.Presented{Method: authz.PresentedID, ID: "c1"}, nil},
		"TKE-32 an id and an empty secret":           {"none", "client_id=c1&client_secret=", authz.Presented{Method: authz.PresentedID, ID: "c1"}, nil},
		"CLA-13 post":                                {"none", "client_id=c1&client_secret=s1", authz.Presented{Method: authz.PresentedPost, ID: "c1", Secret: "s1"}, nil},
		"a secret without an id":                     {"none", "client_secret=s1", authz.Presented{Method: authz.PresentedPost, Secret: "s1"}, nil},
		"Basic":                                      {basic, "", authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"}, nil},
		"TOK-45 Basic and the same id":               {basic, "client_id=c1", authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"}, nil},
		"TOK-06 Basic and empty parameters":          {basic, "client_id=&client_secret=", authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"}, nil},
		"TKE-41 Basic and another id":                {basic, "client_id=c2", authz.Presented{}, contradictingClientID},
		"TKE-41 ids compare with case":               {basic, "client_id=C1", authz.Presented{}, contradictingClientID},
		"TKE-38 Basic and the secret":                {basic, "client_secret=s1", authz.Presented{}, severalMethods},
		"TKE-38 another scheme and a secret":         {"Bearer x", "client_id=c1&client_secret=s1", authz.Presented{}, severalMethods},
		"TKE-38 malformed Basic and a secret":        {"Basic !", "client_id=c1&client_secret=s1", authz.Presented{}, severalMethods},
		"TKE-39 Basic and an assertion":              {basic, assertionPair, authz.Presented{}, severalMethods},
		"TKE-40 a secret and an assertion":           {"none", "client_id=c1&client_secret=s1&" + assertionPair, authz.Presented{}, severalMethods},
		"TKE-42 assertion without type":              {"none", "client_assertion=x", authz.Presented{}, incompleteAssertion},
		"TKE-42 type without assertion":              {"none", "client_assertion_type=x", authz.Presented{}, incompleteAssertion},
		"TKE-42 type with an empty assertion":        {"none", "client_assertion_type=x&client_assertion=", authz.Presented{}, incompleteAssertion},
		"TKE-42 beside Basic":                        {basic, "client_assertion_type=x", authz.Presented{}, incompleteAssertion},
		"TKE-43 unknown type":                        {"none", "client_assertion_type=x&client_assertion=y", authz.Presented{Unusable: authz.CauseUnsupportedMethod}, nil},
		"TKE-43 the type compares with case":         {"none", strings.Replace(assertionPair, "jwt-bearer", "JWT-bearer", 1), authz.Presented{Unusable: authz.CauseUnsupportedMethod}, nil},
		"TKE-44 known type":                          {"none", assertionPair, authz.Presented{Unusable: authz.CauseWrongMethod}, nil},
		"TKE-44 known type, and an id":               {"none", "client_id=c1&" + assertionPair, authz.Presented{ID: "c1", Unusable: authz.CauseWrongMethod}, nil},
		"TKE-35 malformed Basic":                     {"Basic !", "", authz.Presented{Unusable: authz.CauseMalformedCredentials}, nil},
		"TKE-35 malformed Basic contradicts nothing": {"Basic !", "client_id=c1", authz.Presented{Unusable: authz.CauseMalformedCredentials}, nil},
		"TKE-36 another scheme":                      {"Bearer x", "", authz.Presented{Unusable: authz.CauseUnsupportedScheme}, nil},
		"CLA-05 id outside ASCII":                    {"none", "client_id=%C3%A9", authz.Presented{}, malformedClientID},
		"CLA-05 id too long":                         {"none", "client_id=" + strings.Repeat("x", 256), authz.Presented{}, malformedClientID},
		"CLA-05 secret too long":                     {"none", "client_id=c1&client_secret=" + strings.Repeat("x", 256), authz.Presented{}, malformedClientSecret},
		"CLA-05 secret outside ASCII":                {"none", "client_id=c1&client_secret=%C3%A9", authz.Presented{Method: authz.PresentedPost, ID: "c1", Secret: "é"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var f form
			if r := f.parse([]byte(c.body), formRules{resources: true}); r != nil {
				t.Fatal(r.description)
			}
			var authorization []string
			if c.authorization != "none" {
				authorization = []string{c.authorization}
			}
			got, refused := presented(authorization, &f)
			if got != c.want || refused != c.refused {
				t.Errorf("got %+v (secret %q), refused %+v", got, got.Secret.Reveal(), refused)
			}
		})
	}
}
