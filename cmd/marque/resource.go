package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) resourceCommand() *cobra.Command {
	return group("resource", "Register, show and change the APIs that tokens are for",
		a.resourceCreate(), a.resourceList(), a.resourceShow(), a.resourceUpdate(), a.resourceDelete())
}

func (a *app) resourceCreate() *cobra.Command {
	var p *printer
	var conn *connection
	var flags resourceFlags
	cmd := verb("create URI", "Register an API by its identifier, an absolute URI without fragment", func(cmd *cobra.Command, args []string) error {
		a.noteCommas(flags.scopes...)
		var u client.ResourceUpdate
		if err := flags.apply(cmd, &u); err != nil {
			return err
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.CreateResourceWithResponse(cmd.Context(), nil, client.ResourceDefinition{
			Resource: args[0], Scopes: u.Scopes, TokenLifetime: u.TokenLifetime, Algorithm: u.Algorithm, TokenType: u.TokenType,
		})
		if err != nil {
			return conn.failed(err)
		}
		made := first(r.JSON201, r.JSON200)
		if made == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), newSubject("resource", args[0]))
		}
		if r.JSON200 != nil {
			a.note("The resource was registered before; nothing has changed.")
		}
		return p.print(made, func(w io.Writer) { resourceCard(w, made) })
	})
	flags.lifetime, flags.tokenType = 10*time.Minute, "at+jwt"
	flags.add(cmd)
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

func (a *app) resourceList() *cobra.Command {
	var p *printer
	var conn *connection
	var query string
	cmd := verb("list", "List resources", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		all, err := pages(func(cursor *string) ([]client.Resource, *string, error) {
			r, err := api.ListResourcesWithResponse(cmd.Context(), &client.ListResourcesParams{Cursor: cursor, Query: given(query)})
			if err != nil {
				return nil, nil, conn.failed(err)
			}
			if r.JSON200 == nil {
				return nil, nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
			}
			return r.JSON200.Resources, r.JSON200.Next, nil
		})
		if err != nil {
			return err
		}
		switch {
		case len(all) > 0 || p.json:
		case query != "":
			a.note("No resource is so.")
		default:
			a.note("No resource is registered; marque resource create registers one.")
		}
		return p.print(all, func(w io.Writer) {
			var rows [][]string
			for _, r := range all {
				rows = append(rows, []string{r.Resource, strings.Join(r.Scopes, " "), seconds(&r.TokenLifetime), signedWith(&r), string(r.TokenType)})
			}
			table(w, []string{"resource", "scopes", "token_lifetime", "algorithm", "token_type"}, rows)
		})
	})
	cmd.Flags().StringVar(&query, "query", "", "only those whose identifier contains this, in upper or lower case")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func (a *app) resourceShow() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("show URI", "Show a resource", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.GetResourceWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), resourceSubject(args[0]))
		}
		return p.print(r.JSON200, func(w io.Writer) { resourceCard(w, r.JSON200) })
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func resourceCard(w io.Writer, r *client.Resource) {
	card(w,
		"resource", r.Resource,
		"scopes", strings.Join(r.Scopes, " "),
		"token_lifetime", seconds(&r.TokenLifetime),
		"algorithm", signedWith(r),
		"token_type", string(r.TokenType),
		"created_at", instant(&r.CreatedAt),
	)
}

// signedWith says what signs tokens for a resource, in words while that is about to change.
func signedWith(r *client.Resource) string {
	if r.PreviousAlgorithm == nil || r.AlgorithmFrom == nil {
		return string(r.Algorithm)
	}
	return fmt.Sprintf("%s (signs with %s until %s)", r.Algorithm, *r.PreviousAlgorithm, instant(r.AlgorithmFrom))
}

// wholeSeconds reads a duration flag that was given, for a field that counts seconds.
func wholeSeconds(cmd *cobra.Command, flag string, d time.Duration) (*int64, error) {
	if !cmd.Flags().Changed(flag) {
		return nil, nil
	}
	if d < time.Second || d%time.Second != 0 {
		return nil, usagef("--%s: %v is not a whole number of seconds, at least one", flag, d)
	}
	return new(int64(d / time.Second)), nil
}
