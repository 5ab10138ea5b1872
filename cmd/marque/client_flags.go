package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

// clientFlags are the flags that say what a client is.
type clientFlags struct {
	name, defaultResource     string
	scopes, defaultScopes     []string
	resources, serves, claims []string
	lifetime                  time.Duration
	introspection             string
	admin                     adminFlag
}

// add adds them to a command. It leaves the address of admin to be set once there is a connection.
func (c *clientFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.name, "name", "", "a name for people")
	f.StringArrayVar(&c.scopes, "scope", nil, "what it may ask for; repeats, and takes several with spaces between")
	f.StringArrayVar(&c.defaultScopes, "default-scope", nil, "what it gets when it asks for no scope; repeats, and takes several")
	f.StringArrayVar(&c.resources, "resource", nil, "an API that it may call; repeats")
	f.StringVar(&c.defaultResource, "default-resource", "", "the API that its tokens are for when it names none and several fit")
	f.StringArrayVar(&c.serves, "serves", nil, "an API that this client is the identity of: it may introspect tokens for it; repeats")
	f.StringArrayVar(&c.claims, "claim", nil, "NAME=JSON, a claim that every token of it carries, such as https://example.com/tier='\"gold\"'; repeats")
	f.Var((*durationFlag)(&c.lifetime), "token-lifetime", "how long its tokens live at most, 1s to 1h (default what the resource says)")
	f.StringVar(&c.introspection, "introspection-signed-response-alg", "", "what signs introspection answers for it: ES256, ES384, RS256, PS256 or Ed25519 (default that of the first API that it serves)")
	c.admin.right = new(bool)
	f.Var(&c.admin, "admin", "it may manage this server over TCP; with an address, --admin=URL, it is another machine that this command speaks to, and --issuer, --client-id and --"+adminSecretFlag(cmd)+" say by whose right")
	f.Lookup("admin").NoOptDefVal = "true"
}

// errSecretName refuses a secret in the place of a name. Names are shown wherever the client is.
var errSecretName = usagef("--name: this looks like a secret, and everyone who looks at the client sees its name; it is not repeated here")

func (c *clientFlags) note(a *app) {
	a.noteCommas(append(slices.Clone(c.scopes), c.defaultScopes...)...)
}

// metadata is what the flags say of a new client.
func (c *clientFlags) metadata(cmd *cobra.Command) (client.ClientMetadata, error) {
	var u client.ClientUpdate
	if err := c.apply(cmd, &u); err != nil {
		return client.ClientMetadata{}, err
	}
	return client.ClientMetadata{
		Admin: u.Admin, Claims: u.Claims, ClientName: u.ClientName, DefaultResource: u.DefaultResource, DefaultScope: u.DefaultScope,
		IntrospectionSignedResponseAlg: u.IntrospectionSignedResponseAlg, Resources: u.Resources, Scope: u.Scope, Serves: u.Serves,
		TokenLifetime: u.TokenLifetime,
	}, nil
}

// apply puts what the given flags say in place of what u says, and leaves the rest. A flag that is
// given empty empties.
func (c *clientFlags) apply(cmd *cobra.Command, u *client.ClientUpdate) error {
	changed := cmd.Flags().Changed
	if changed("name") {
		u.ClientName = c.name
	}
	for flag, to := range map[string]struct {
		member **string
		value  string
	}{
		"scope":            {&u.Scope, words(c.scopes)},
		"default-scope":    {&u.DefaultScope, words(c.defaultScopes)},
		"default-resource": {&u.DefaultResource, c.defaultResource},
	} {
		if changed(flag) {
			*to.member = given(to.value)
		}
	}
	if changed("resource") {
		u.Resources = new(notEmpty(c.resources))
	}
	if changed("serves") {
		u.Serves = new(notEmpty(c.serves))
	}
	if *c.admin.right {
		u.Admin = new(true)
	} else if c.admin.denied {
		u.Admin = nil
	}
	switch {
	case changed("introspection-signed-response-alg"):
		u.IntrospectionSignedResponseAlg = (*client.AlgorithmName)(given(c.introspection))
	case u.Serves != nil && len(*u.Serves) == 0: // nobody is left to sign for
		u.IntrospectionSignedResponseAlg = nil
	}
	if changed("claim") {
		claims, err := parseClaims(c.claims)
		if err != nil {
			return err
		}
		u.Claims = claims
	}
	if changed("token-lifetime") && c.lifetime == 0 && cmd.Name() == "update" {
		u.TokenLifetime = nil
		return nil
	}
	lifetime, err := wholeSeconds(cmd, "token-lifetime", c.lifetime)
	if lifetime != nil {
		u.TokenLifetime = lifetime
	}
	return err
}

// parseClaims reads NAME=JSON. Names may hold colons and slashes, and never an equals sign.
func parseClaims(list []string) (*map[string]json.RawMessage, error) {
	claims := map[string]json.RawMessage{}
	for _, s := range notEmpty(list) {
		name, value, ok := strings.Cut(s, "=")
		switch {
		case !ok || name == "":
			return nil, usagef("--claim: written NAME=JSON, such as https://example.com/tier='\"gold\"'")
		case !json.Valid([]byte(value)):
			return nil, usagef("--claim: the value of %q is no JSON; text needs quotes of its own: %s='\"text\"'", name, name)
		case claims[name] != nil:
			return nil, usagef("--claim: %q is given twice", name)
		}
		claims[name] = json.RawMessage(value)
	}
	if len(claims) == 0 {
		return nil, nil
	}
	return &claims, nil
}

func claimsText(claims *map[string]json.RawMessage) string {
	if claims == nil {
		return ""
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(*claims)) {
		all = append(all, name+"="+string((*claims)[name]))
	}
	return strings.Join(all, "  ")
}

func onlyTrue(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// words joins what repeated flags hold.
func words(list []string) string { return strings.Join(strings.Fields(strings.Join(list, " ")), " ") }

// notEmpty drops empty entries: a list flag given empty stands for an empty list. It is never nil.
func notEmpty(list []string) []string {
	kept := []string{}
	for _, s := range list {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
