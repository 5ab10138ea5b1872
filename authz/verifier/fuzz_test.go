package verifier

import (
	"encoding/json"
	"testing"

	"github.com/marque-auth/marque/authz/token"
)

// FuzzReadAnswer: whatever an endpoint says, only the boolean true about this very token is active.
func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"iss":"i","client_id":"c","jti":"j"}`, `{"active":false}`, `{"active":"true"}`, `{}`, `null`, ``,
		`{"active":true,"iss":"i","client_id":"c","jti":"j","jti":"k"}`, `{"Active":true,"iss":"i","client_id":"c","jti":"j"}`,
	} {
		f.Add([]byte(seed))
	}
	c := &token.Claims{Issuer: "i", ClientID: "c", JTI: "j"}
	f.Fuzz(func(t *testing.T, body []byte) {
		active, err := readAnswer(body, c)
		if err != nil && active {
			t.Fatal("active, and an error")
		}
		if !active {
			return
		}
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil || m["active"] != true || m["iss"] != "i" || m["client_id"] != "c" || m["jti"] != "j" {
			t.Fatalf("%q is active: %v", body, err)
		}
	})
}
