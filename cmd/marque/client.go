package main

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) clientCommand() *cobra.Command {
	return group("client", "Register partners' applications, and stop them",
		a.clientCreate(), a.clientList(), a.clientShow(), a.clientSwitch("disable"), a.clientSwitch("enable"), a.secretCommand())
}

func (a *app) clientCreate() *cobra.Command {
	var (
		p                         *printer
		conn                      *connection
		name, id, defaultResource string
		scopes, defaultScopes     []string
		resources, serves         []string
		lifetime                  time.Duration
	)
	cmd := verb("create", "Register a client; its secret is shown once", func(cmd *cobra.Command, _ []string) error {
		a.noteCommas(append(slices.Clone(scopes), defaultScopes...)...)
		body := client.ClientMetadata{
			ClientName:      name,
			ClientID:        given(id),
			Scope:           given(strings.Join(scopes, " ")),
			DefaultScope:    given(strings.Join(defaultScopes, " ")),
			Resources:       givenList(resources),
			DefaultResource: given(defaultResource),
			Serves:          givenList(serves),
		}
		var err error
		if body.TokenLifetime, err = wholeSeconds(cmd, "token-lifetime", lifetime); err != nil {
			return err
		}
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
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), newSubject("client", id))
		}
		if made.ClientSecret == nil {
			a.note("The client was registered before; its secret is not shown again. For another one: marque client secret add %s", made.ClientID)
		}
		a.firstRequest(made, definedScopes(cmd.Context(), api, made))
		return p.print(made, func(w io.Writer) { clientCard(w, made) })
	})
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "a name for people")
	f.StringVar(&id, "id", "", "the identifier, 1 to 64 of A-Z a-z 0-9 . _ ~ -; the server makes one when it is not given")
	f.StringArrayVar(&scopes, "scope", nil, "what it may ask for; repeats, and takes several with spaces between")
	f.StringArrayVar(&defaultScopes, "default-scope", nil, "what it gets when it asks for no scope; repeats, and takes several")
	f.StringArrayVar(&resources, "resource", nil, "an API that it may call; repeats")
	f.StringVar(&defaultResource, "default-resource", "", "the API that its tokens are for when it names none and several fit")
	f.StringArrayVar(&serves, "serves", nil, "an API that this client is the identity of; repeats")
	f.Var((*durationFlag)(&lifetime), "token-lifetime", "how long its tokens live at most, 1s to 1h (default what the resource says)")
	_ = cmd.MarkFlagRequired("name")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func (a *app) clientList() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("list", "List clients", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		all, err := pages(func(cursor *string) ([]client.RegisteredClient, *string, error) {
			r, err := api.ListClientsWithResponse(cmd.Context(), &client.ListClientsParams{Cursor: cursor})
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
		return p.print(all, func(w io.Writer) {
			var rows [][]string
			for _, c := range all {
				rows = append(rows, []string{c.ClientID, c.ClientName, clientState(&c), c.Scope, strings.Join(c.Resources, " ")})
			}
			table(w, []string{"client_id", "client_name", "state", "scope", "resources"}, rows)
		})
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
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
	short := "Issue tokens to a disabled client again"
	if name == "disable" {
		short = "Stop issuing tokens to a client"
	}
	var p *printer
	var conn *connection
	cmd := verb(name+" ID", short, func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		now, problem, status, err := switchClient(cmd, api, name, args[0])
		if err != nil {
			return conn.failed(err)
		}
		if now == nil {
			return refusedBy(problem, status, clientSubject(args[0]))
		}
		return p.print(now, func(w io.Writer) { clientCard(w, now) })
	})
	p, conn = a.printing(cmd), a.connection(cmd)
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
		"token_lifetime", seconds(c.TokenLifetime),
		"client_id_issued_at", epoch(c.ClientIDIssuedAt),
	)
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func givenList(list []string) *[]string {
	if len(list) == 0 {
		return nil
	}
	return &list
}
