package main

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

// resourceFlags are the flags that say what a resource is.
type resourceFlags struct {
	scopes               []string
	lifetime             time.Duration
	algorithm, tokenType string
}

func (r *resourceFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&r.scopes, "scope", nil, "a scope that has a meaning here; repeats, and takes several with spaces between")
	f.Var((*durationFlag)(&r.lifetime), "token-lifetime", "how long tokens live, 1s to 1h")
	f.StringVar(&r.algorithm, "algorithm", r.algorithm, "what signs tokens: ES256, RS256, PS256 or Ed25519 (default the server's, keys.algorithm)")
	f.StringVar(&r.tokenType, "token-type", r.tokenType, "typ of tokens: at+jwt, or JWT for validators that refuse it")
}

// apply puts what the given flags say in place of what u says, and leaves the rest.
func (r *resourceFlags) apply(cmd *cobra.Command, u *client.ResourceUpdate) error {
	if cmd.Flags().Changed("scope") {
		list := strings.Fields(strings.Join(r.scopes, " "))
		u.Scopes = new(nonNil(list))
	}
	if cmd.Flags().Changed("algorithm") {
		u.Algorithm = new(client.AlgorithmName(r.algorithm))
	}
	if cmd.Flags().Changed("token-type") {
		u.TokenType = new(client.TokenType(r.tokenType))
	}
	lifetime, err := wholeSeconds(cmd, "token-lifetime", r.lifetime)
	if lifetime != nil {
		u.TokenLifetime = lifetime
	}
	return err
}

func (a *app) resourceUpdate() *cobra.Command {
	var (
		p      *printer
		conn   *connection
		flags  resourceFlags
		revoke bool
	)
	cmd := verb("update URI", "Change what an API is: the given flags only", func(cmd *cobra.Command, args []string) error {
		a.noteCommas(flags.scopes...)
		if !anyChanged(cmd, "scope", "token-lifetime", "algorithm", "token-type", "revoke-tokens") {
			return usagef("say what to change: --scope, --token-lifetime, --algorithm, --token-type")
		}
		if err := flags.apply(cmd, &client.ResourceUpdate{}); err != nil { // before anything is touched
			return err
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		was, err := api.GetResourceWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		if was.JSON200 == nil {
			return refusedBy(was.ApplicationProblemJSONDefault, was.StatusCode(), resourceSubject(args[0]))
		}
		now := was.JSON200
		body := client.ResourceUpdate{
			Scopes: &now.Scopes, TokenLifetime: &now.TokenLifetime, Algorithm: new(client.AlgorithmName(now.Algorithm)), TokenType: &now.TokenType,
		}
		if err := flags.apply(cmd, &body); err != nil {
			return err
		}
		r, err := api.UpdateResourceWithResponse(cmd.Context(), args[0], &client.UpdateResourceParams{
			IfMatch: was.HTTPResponse.Header.Get("ETag"), RevokeTokens: onlyIf(revoke),
		}, body)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), changedSubject("resource", args[0]))
		}
		if r.HTTPResponse.Header.Get("ETag") == was.HTTPResponse.Header.Get("ETag") {
			a.note("The resource is so already; nothing has changed.")
		}
		a.noteUndefined(cmd.Context(), api, was.JSON200, r.JSON200)
		return p.print(r.JSON200, func(w io.Writer) { resourceCard(w, r.JSON200) })
	})
	cmd.Long = "Changes what an API is: the given flags only; --scope replaces the whole list. Tokens for it stay\n" +
		"good for as long as they live; --revoke-tokens voids them. Another --algorithm signs once everybody who\n" +
		"keeps the JWKS knows its key; until then the present one does, and show says for how long. Nothing is\n" +
		"changed if somebody else changed the resource meanwhile."
	flags.add(cmd)
	cmd.Flags().Lookup("algorithm").Usage = "what signs tokens from now on, or once its key is known: ES256, ES384, RS256, PS256 or Ed25519"
	cmd.Flags().BoolVar(&revoke, "revoke-tokens", false, "void the tokens that were issued for it until now")
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

func (a *app) resourceDelete() *cobra.Command {
	var conn *connection
	var sure *confirmation
	cmd := verb("delete URI", "Delete an API that no client has or serves: tokens for it are void", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		match := "*" // what is deleted already cannot be read, and deleting it again changes nothing
		was, err := api.GetResourceWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		switch {
		case was.JSON200 != nil:
			match = was.HTTPResponse.Header.Get("ETag")
			if err := sure.ask("This deletes the resource %s: tokens for it are void at once.", args[0]); err != nil {
				return err
			}
		case was.StatusCode() != http.StatusNotFound:
			return refusedBy(was.ApplicationProblemJSONDefault, was.StatusCode(), resourceSubject(args[0]))
		}
		r, err := api.DeleteResourceWithResponse(cmd.Context(), args[0], &client.DeleteResourceParams{IfMatch: match})
		if err != nil {
			return conn.failed(err)
		}
		if r.StatusCode() != http.StatusNoContent {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), changedSubject("resource", args[0]))
		}
		a.deleted(was.JSON200 == nil, args[0])
		return nil
	})
	sure, conn = a.confirming(cmd), a.changing(cmd)
	return cmd
}
