package authz

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
)

// about reports whether an entry is about a target: as it says, or because what it withdrew is that of
// the client, credential, resource, key or token of this identifier.
func about(e audit.Entry, target string) bool {
	if e.Target == target {
		return true
	}
	_, value, ok := strings.Cut(e.Target, ":") // token.Subject.String
	return ok && (e.Action == actionRevoke || e.Action == actionRestore) && value == target
}

// withdrew reports whether tokens became void by an act. Its entry says so: it is a revocation, it
// carries one, it ended a record without which no token is good, or it revoked a key.
func withdrew(e audit.Entry) bool {
	switch {
	case e.Result != audit.ResultDone:
		return false
	case e.Action == actionRevoke, e.Action == actionRestore, e.Action == keys.ActionRevoke:
		return true
	case strings.HasSuffix(e.Action, ".delete"): // of a record that is gone the entry can carry nothing
		return true
	case strings.HasSuffix(e.Action, ".create"): // a resource that was deleted is registered anew: its tokens were void
		return false
	}
	was := revocationsIn(e.Before)
	for subject, is := range revocationsIn(e.After) {
		if old, ok := was[subject]; !ok || !(old.openEnded() && !is.openEnded()) { // enabling a client ends a revocation
			return true
		}
	}
	return false
}

// loggedRevocation is what revocationView writes, as far as it matters here.
type loggedRevocation struct {
	Kind   token.RevocationKind `json:"kind"`
	Value  string               `json:"value"`
	Before string               `json:"before"`
	Until  string               `json:"until"`
}

func (r loggedRevocation) openEnded() bool { return r.Before == "" && r.Until == "" }

// revocationsIn returns the revocations that an entry's Before or After carries; none of what it cannot
// read, which later versions may have written.
func revocationsIn(record []byte) map[token.Subject]loggedRevocation {
	if !bytes.Contains(record, []byte(`"revocations"`)) { // most have none, and a page looks at thousands
		return nil
	}
	var v struct {
		Revocations []loggedRevocation `json:"revocations"`
	}
	if json.Unmarshal(record, &v) != nil {
		return nil
	}
	out := map[token.Subject]loggedRevocation{}
	for _, r := range v.Revocations {
		out[token.Subject{Kind: r.Kind, Value: r.Value}] = r
	}
	return out
}
