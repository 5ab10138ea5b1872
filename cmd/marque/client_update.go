package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) clientUpdate() *cobra.Command {
	var (
		p      *printer
		conn   *connection
		flags  clientFlags
		revoke bool
	)
	cmd := verb("update ID", "Change what a client is: the given flags only", func(cmd *cobra.Command, args []string) error {
		if shapedSecret(flags.name) {
			return errSecretName
		}
		flags.note(a)
		if !anyChanged(cmd, "name", "scope", "default-scope", "resource", "default-resource", "serves", "claim", "token-lifetime",
			"introspection-signed-response-alg", "revoke-tokens") && !*flags.admin.right && !flags.admin.denied {
			return usagef("say what to change: --name, --scope, --resource, …")
		}
		if err := flags.apply(cmd, &client.ClientUpdate{}); err != nil { // before anything is touched
			return err
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		was, err := api.GetClientWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		if was.JSON200 == nil {
			return refusedBy(was.ApplicationProblemJSONDefault, was.StatusCode(), clientSubject(args[0]))
		}
		body := definitionOf(was.JSON200)
		if err := flags.apply(cmd, &body); err != nil {
			return err
		}
		r, err := api.UpdateClientWithResponse(cmd.Context(), args[0], &client.UpdateClientParams{
			IfMatch: was.HTTPResponse.Header.Get("ETag"), RevokeTokens: onlyIf(revoke),
		}, body)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), changedSubject("client", args[0]))
		}
		if r.HTTPResponse.Header.Get("ETag") == was.HTTPResponse.Header.Get("ETag") {
			a.note("The client is so already; nothing has changed.")
		}
		return p.print(r.JSON200, func(w io.Writer) { clientCard(w, r.JSON200) })
	})
	cmd.Long = "Changes what a client is: the given flags only. A flag that repeats replaces its whole list; given\n" +
		"empty, such as --serves '', it empties it, and --token-lifetime 0s leaves the lifetime to the resource.\n" +
		"Tokens that the client has stay good for as long as they live; --revoke-tokens voids them. Nothing is\n" +
		"changed if somebody else changed the client meanwhile."
	flags.add(cmd)
	cmd.Flags().BoolVar(&revoke, "revoke-tokens", false, "void the tokens that it was issued until now")
	p, conn = a.printing(cmd), a.changing(cmd)
	flags.admin.url = &conn.remote.admin
	return cmd
}

// definitionOf is what an admin said of a client.
func definitionOf(c *client.RegisteredClient) client.ClientUpdate {
	u := client.ClientUpdate{
		ClientName: c.ClientName, Scope: given(c.Scope), DefaultScope: given(c.DefaultScope), Resources: &c.Resources,
		DefaultResource: c.DefaultResource, Serves: &c.Serves, TokenLifetime: c.TokenLifetime, Claims: c.Claims,
		IntrospectionSignedResponseAlg: (*client.AlgorithmName)(c.IntrospectionSignedResponseAlg),
	}
	if c.Admin {
		u.Admin = new(true)
	}
	return u
}

func (a *app) clientDelete() *cobra.Command {
	var conn *connection
	var sure *confirmation
	cmd := verb("delete ID", "Delete a client for ever: its tokens are void, and nobody else gets its identifier", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		match := "*" // what is deleted already cannot be read, and deleting it again changes nothing
		was, err := api.GetClientWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		switch {
		case was.JSON200 != nil:
			match = was.HTTPResponse.Header.Get("ETag")
			if err := sure.ask("This deletes the client %s (%s) for ever: its tokens are void at once, and its identifier is not given again.", args[0], was.JSON200.ClientName); err != nil {
				return err
			}
		case was.StatusCode() != http.StatusNotFound:
			return refusedBy(was.ApplicationProblemJSONDefault, was.StatusCode(), clientSubject(args[0]))
		}
		r, err := api.DeleteClientWithResponse(cmd.Context(), args[0], &client.DeleteClientParams{IfMatch: match})
		if err != nil {
			return conn.failed(err)
		}
		if r.StatusCode() != http.StatusNoContent {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), changedSubject("client", args[0]))
		}
		a.deleted(was.JSON200 == nil, args[0])
		return nil
	})
	sure, conn = a.confirming(cmd), a.changing(cmd)
	return cmd
}

// deleted says what became of a deletion.
func (a *app) deleted(before bool, id string) {
	if before {
		a.note("%s was deleted before; nothing has changed.", clean(id))
		return
	}
	a.note("Deleted %s.", clean(id))
}

// changedSubject is about what a command read and then changed.
func changedSubject(noun, id string) subject {
	s := clientSubject(id)
	if noun == "resource" {
		s = resourceSubject(id)
	}
	s.stale = fmt.Sprintf("somebody else changed the %s %s meanwhile, so nothing was changed; marque %s show %s shows it, and the same command can be given again", noun, id, noun, shellWord(id))
	return s
}

func anyChanged(cmd *cobra.Command, flags ...string) bool {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

func onlyIf(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}
