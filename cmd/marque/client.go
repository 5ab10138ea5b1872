package main

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) clientCommand() *cobra.Command {
	return group("client", "Register partners' applications, change and stop them, and see why they are refused",
		a.clientCreate(), a.clientList(), a.clientShow(), a.clientUpdate(), a.clientSwitch("disable"), a.clientSwitch("enable"),
		a.clientDelete(), a.clientRefusals(), a.secretCommand())
}

func (a *app) clientCreate() *cobra.Command {
	var (
		p      *printer
		conn   *connection
		secret *brought
		id     string
		flags  clientFlags
	)
	cmd := verb("create", "Register a client; its secret is shown once", func(cmd *cobra.Command, _ []string) error {
		if shapedSecret(flags.name) {
			return errSecretName
		}
		flags.note(a)
		body, err := flags.metadata(cmd)
		if err != nil {
			return err
		}
		body.ClientID = given(id)
		own, err := secret.secret(cmd.Context())
		if err != nil {
			return err
		}
		body.ClientSecret, conn.brought = revealed(own), own
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.CreateClientWithResponse(cmd.Context(), &client.CreateClientParams{IdempotencyKey: idempotencyKey()}, body)
		if err != nil {
			return conn.failed(err)
		}
		made := first(r.JSON201, r.JSON200)
		if made == nil {
			about := newSubject("client", id)
			if r.StatusCode() == http.StatusConflict && absent(cmd, api, id) {
				about.taken = "" // the server says it better: it was of a client that was deleted
			}
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), about)
		}
		switch {
		case r.JSON201 == nil && own == nil:
			a.note("The client was registered before; its secret is not shown again. For another one: marque client secret add %s", made.ClientID)
		case r.JSON201 == nil:
			a.note("The client was registered before, with this secret; nothing has changed.")
		}
		a.firstRequest(made, definedScopes(cmd.Context(), api, made))
		return p.print(made, func(w io.Writer) { clientCard(w, made) })
	})
	cmd.Flags().StringVar(&id, "id", "", "the identifier, 1 to 64 of A-Z a-z 0-9 . _ ~ -; the server makes one when it is not given")
	secret = a.bringing(cmd)
	flags.add(cmd)
	_ = cmd.MarkFlagRequired("name")
	p, conn = a.printing(cmd), a.changing(cmd)
	flags.admin.url = &conn.remote.admin
	return cmd
}

// absent reports whether the server says that there is no such client.
func absent(cmd *cobra.Command, api *client.ClientWithResponses, id string) bool {
	if id == "" {
		return false
	}
	r, err := api.GetClientWithResponse(cmd.Context(), id)
	return err == nil && r.StatusCode() == http.StatusNotFound
}

func (a *app) clientList() *cobra.Command {
	var p *printer
	var conn *connection
	var query string
	cmd := verb("list", "List clients, and find whose secret it is", func(cmd *cobra.Command, _ []string) error {
		query, err := a.clientSearch(query)
		if err != nil {
			return err
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		all, err := pages(func(cursor *string) ([]client.RegisteredClient, *string, error) {
			r, err := api.ListClientsWithResponse(cmd.Context(), &client.ListClientsParams{Cursor: cursor, Query: given(query)})
			if err != nil {
				return nil, nil, conn.failed(err)
			}
			if r.JSON200 == nil {
				return nil, nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
			}
			return r.JSON200.Clients, r.JSON200.Next, nil
		})
		if err != nil {
			return err
		}
		switch {
		case len(all) > 0 || p.json:
		case query != "":
			a.note("No client is so.")
		default:
			a.note("No client is registered; marque client create registers one.")
		}
		return p.print(all, func(w io.Writer) { clientTable(w, all) })
	})
	cmd.Flags().StringVar(&query, "query", "", "only those whose identifier or name contains this, in upper or lower case, or that have or had the secret of this credential_id")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

// clientTable writes clients, and what only some of them are if one of these is.
func clientTable(w io.Writer, all []client.RegisteredClient) {
	header := []string{"client_id", "client_name", "state", "scope", "resources"}
	serves := slices.ContainsFunc(all, func(c client.RegisteredClient) bool { return len(c.Serves) > 0 })
	admin := slices.ContainsFunc(all, func(c client.RegisteredClient) bool { return c.Admin })
	if serves {
		header = append(header, "serves")
	}
	if admin {
		header = append(header, "admin")
	}
	var rows [][]string
	for _, c := range all {
		row := []string{c.ClientID, c.ClientName, clientState(&c), c.Scope, strings.Join(c.Resources, " ")}
		if serves {
			row = append(row, strings.Join(c.Serves, " "))
		}
		if admin {
			row = append(row, onlyTrue(c.Admin))
		}
		rows = append(rows, row)
	}
	table(w, header, rows)
}

// clientSearch returns what to search for. A secret that was found somewhere stays here: its
// credential_id is enough.
func (a *app) clientSearch(query string) (string, error) {
	if authz.Redact(query) == query {
		return query, nil
	}
	id, ok := authz.CredentialNamed(query)
	if !ok {
		return "", usagef("--query: this looks like a secret, and is not repeated here; give its credential_id, the 16 characters behind mrq_")
	}
	a.note("Searching for the credential_id %s alone; the secret is not sent.", id)
	return string(id), nil
}

func (a *app) clientShow() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("show ID", "Show a client", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.GetClientWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), clientSubject(args[0]))
		}
		return p.print(r.JSON200, func(w io.Writer) { clientCard(w, r.JSON200) })
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

// clientSwitch returns the command disable, or enable.
func (a *app) clientSwitch(name string) *cobra.Command {
	short := "Issue tokens to a disabled client again; those that it had stay void"
	if name == "disable" {
		short = "Stop issuing tokens to a client, and void those that it has"
	}
	var p *printer
	var conn *connection
	cmd := verb(name+" ID", short, func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		was, err := api.GetClientWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		now, problem, status, err := switchClient(cmd, api, name, args[0])
		if err != nil {
			return conn.failed(err)
		}
		if now == nil {
			return refusedBy(problem, status, clientSubject(args[0]))
		}
		if was.JSON200 != nil && was.JSON200.Disabled == now.Disabled {
			a.note("The client is %s already; nothing has changed.", clientState(now))
		}
		return p.print(now, func(w io.Writer) { clientCard(w, now) })
	})
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

func switchClient(cmd *cobra.Command, api *client.ClientWithResponses, name, id string) (*client.RegisteredClient, *client.Problem, int, error) {
	if name == "disable" {
		r, err := api.DisableClientWithResponse(cmd.Context(), id, nil)
		if err != nil {
			return nil, nil, 0, err
		}
		return r.JSON200, r.ApplicationProblemJSONDefault, r.StatusCode(), nil
	}
	r, err := api.EnableClientWithResponse(cmd.Context(), id, nil)
	if err != nil {
		return nil, nil, 0, err
	}
	return r.JSON200, r.ApplicationProblemJSONDefault, r.StatusCode(), nil
}

func clientState(c *client.RegisteredClient) string {
	if c.Disabled {
		return "disabled"
	}
	return "enabled"
}

func clientCard(w io.Writer, c *client.RegisteredClient) {
	secret := ""
	if c.ClientSecret != nil {
		secret = *c.ClientSecret + "  (shown this once)"
	}
	card(w,
		"client_id", c.ClientID,
		"client_secret", secret,
		"credential_id", text(c.CredentialID),
		"client_name", c.ClientName,
		"state", clientState(c),
		"scope", c.Scope,
		"default_scope", c.DefaultScope,
		"resources", strings.Join(c.Resources, " "),
		"default_resource", text(c.DefaultResource),
		"serves", strings.Join(c.Serves, " "),
		"admin", onlyTrue(c.Admin),
		"claims", claimsText(c.Claims),
		"introspection_signed_response_alg", text((*string)(c.IntrospectionSignedResponseAlg)),
		"token_lifetime", seconds(c.TokenLifetime),
		"client_id_issued_at", epoch(c.ClientIDIssuedAt),
	)
}
