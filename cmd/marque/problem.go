package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
)

// subject is what a command is about, for messages about its absence or its double.
type subject struct {
	missing string // there is none; says how to find those that are there
	stale   string // of a change: somebody else was faster
	taken   string // of creation: there is another one of that name; says how to see it
}

func clientSubject(id string) subject {
	return subject{missing: "no client " + quoted(id) + "; see marque client list"}
}

// quoted repeats an identifier that somebody typed, unless a secret may have been typed in its place.
func quoted(id string) string {
	if mayBeSecret(id) {
		return "of that identifier (not repeated here because it may be a secret)"
	}
	return strconv.Quote(id)
}

func resourceSubject(id string) subject {
	return subject{missing: "no resource " + quoted(id) + "; see marque resource list"}
}

// newSubject is about what a command creates; id may be empty if the server makes it.
func newSubject(noun, id string) subject {
	if id == "" {
		return subject{}
	}
	return subject{taken: fmt.Sprintf("%s is registered already with other settings; marque %s show %s shows them", id, noun, shellWord(id))}
}

func credentialSubject(id, credential string) subject {
	which := "of that credential_id" // anything else that is typed here is likely to be the secret itself
	if madeHere.MatchString(credential) {
		which = strconv.Quote(credential)
	}
	if mayBeSecret(id) {
		return subject{missing: "no client " + quoted(id) + " with a secret " + which + "; see marque client list"}
	}
	return subject{missing: fmt.Sprintf("no client %q with a secret %s; see marque client list, and marque client secret list %s", id, which, shellWord(id))}
}

func ringSubject(algorithm string) subject {
	if algorithm == "" {
		return subject{}
	}
	return subject{missing: fmt.Sprintf("no resource is signed with %s yet", algorithm)}
}

// refusedBy turns a problem that the server answered into an error that names what the user typed.
func refusedBy(p *client.Problem, status int, about subject) error {
	switch {
	case p == nil:
		return fmt.Errorf("the server answered status %d, and nothing that explains it", status)
	case p.Errors != nil && len(*p.Errors) > 0:
		return brokenRules(*p.Errors)
	case status == http.StatusNotFound && about.missing != "":
		return errors.New(clean(about.missing))
	case status == http.StatusPreconditionFailed && about.stale != "":
		return errors.New(clean(about.stale))
	case status == http.StatusConflict && about.taken != "":
		return errors.New(clean(about.taken))
	}
	message := strings.ToLower(p.Title)
	if p.Detail != nil {
		message = *p.Detail
	}
	if status >= http.StatusInternalServerError {
		message += "; the server's log explains it under request " + p.RequestID
	}
	return errors.New(clean(message))
}

// brokenRules lists flags with the rules that their values break.
func brokenRules(all []client.FieldProblem) error {
	message := "nothing was changed:"
	for _, e := range all {
		message += "\n  " + clean(flagOf(e.Field)+": "+e.Rule)
	}
	return errors.New(message)
}

// flagOf names the flag behind a member of the management API.
func flagOf(field string) string {
	name, _, _ := strings.Cut(field, "/")
	flag, ok := map[string]string{
		"client_id": "--id", "client_name": "--name", "scope": "--scope", "scopes": "--scope", "default_scope": "--default-scope",
		"resources": "--resource", "default_resource": "--default-resource", "serves": "--serves", "token_lifetime": "--token-lifetime",
		"algorithm": "--algorithm", "token_type": "--token-type", "resource": "URI", "not_before": "--not-before",
		"client_secret_expires_at": "--expires", "claims": "--claim", "admin": "--admin",
		"introspection_signed_response_alg": "--introspection-signed-response-alg", "client_secret": "the secret",
		"key": "the key", "kid": "--kid", "published_at": "--published-at",
		"X-Marque-Reason": "--reason", "kind": "kind", "before": "--before", "since": "--since", "query": "--query",
	}[name]
	if !ok {
		return field
	}
	return flag
}
