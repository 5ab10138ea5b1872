package main

import (
	"io"
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
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode())
		}
		if made.ClientSecret == nil {
			a.note("The client was registered before; its secret is not shown again. For another one: marque client secret add %s", made.ClientID)
		}
		a.firstRequest(made)
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
	f.DurationVar(&lifetime, "token-lifetime", 0, "how long its tokens live at most, 1s to 1h (default what the resource says)")
	_ = cmd.MarkFlagRequired("name")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

// firstRequest says what a token request of a new client must hold beyond its credentials, so that
// its developer does not find out by a refusal.
func (a *app) firstRequest(c *client.RegisteredClient) {
	switch {
	case len(c.Resources) == 0:
		a.note("This client has no --resource, so it gets no tokens.")
	case c.Scope != "" && c.DefaultScope == "":
		a.note("This client has no default scope: its first request needs scope=%s (or a part of it).", strings.ReplaceAll(c.Scope, " ", "+"))
	}
	if len(c.Resources) > 1 && c.DefaultResource == nil {
		a.note("This client has several resources and no default: when more than one defines the scope that it asks for, its request needs resource=URI.")
	}
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
				return nil, nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode())
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
			table(w, []string{"client_id", "name", "state", "scope", "resources"}, rows)
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
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode())
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
			return refusedBy(problem, status)
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
		"name", c.ClientName,
		"state", clientState(c),
		"scope", c.Scope,
		"default scope", c.DefaultScope,
		"resources", strings.Join(c.Resources, " "),
		"default resource", text(c.DefaultResource),
		"serves", strings.Join(c.Serves, " "),
		"token lifetime", seconds(c.TokenLifetime),
		"created", unix(c.ClientIDIssuedAt),
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
