package main

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) revocationCommand() *cobra.Command {
	return group("revocation", "Void tokens: one, or those of a client, secret, key or API issued until now", a.revocationCreate(), a.revocationList())
}

// revocationKinds names the flag for each kind of revocation, and what it says of itself.
func revocationKinds() []struct {
	flag  string
	kind  client.RevocationKind
	usage string
} {
	return []struct {
		flag  string
		kind  client.RevocationKind
		usage string
	}{
		{"jti", client.RevocationKindJti, "the one token of this identifier"},
		{"client", client.RevocationKindClient, "tokens of this client"},
		{"credential", client.RevocationKindCredential, "tokens that were obtained with this secret: its credential_id"},
		{"kid", client.RevocationKindKID, "tokens that this key signed; a key that others have is ended by marque key revoke"},
		{"resource", client.RevocationKindResource, "tokens for this API"},
	}
}

func (a *app) revocationCreate() *cobra.Command {
	var (
		p      *printer
		conn   *connection
		sure   *confirmation
		all    bool
		before time.Time
	)
	values := map[string]*string{}
	cmd := verb("create", "Void the tokens that were issued until now, or until --before", func(cmd *cobra.Command, _ []string) error {
		body := client.RevocationRequest{Kind: client.RevocationKindAll}
		for _, k := range revocationKinds() {
			if cmd.Flags().Changed(k.flag) {
				body.Kind, body.Value = k.kind, values[k.flag]
			}
		}
		if body.Kind == client.RevocationKindAll && !all {
			return usagef("--all=false says nothing; name what to revoke")
		}
		if cmd.Flags().Changed("before") {
			body.Before = &before
		}
		if all {
			if err := sure.ask("This voids the tokens of every client: each service refuses its callers until they have fetched new ones."); err != nil {
				return err
			}
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.CreateRevocationWithResponse(cmd.Context(), nil, body)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(byFlag(r.ApplicationProblemJSONDefault, body.Kind), r.StatusCode(), subject{
				missing: "nothing that can be revoked has this " + string(body.Kind),
			})
		}
		return p.print(r.JSON200, func(w io.Writer) { revocationCard(w, r.JSON200) })
	})
	names := []string{"all"}
	for _, k := range revocationKinds() {
		values[k.flag] = new(string)
		cmd.Flags().StringVar(values[k.flag], k.flag, "", k.usage)
		names = append(names, k.flag)
	}
	cmd.Flags().BoolVar(&all, "all", false, "every token of every client")
	wanting(cmd, func() error { return oneKind(cmd, names) })
	cmd.Flags().Var((*timeFlag)(&before), "before", "void what was issued until this time (RFC 3339; default now); not with --jti")
	p, sure, conn = a.printing(cmd), a.confirming(cmd), a.changing(cmd)
	return cmd
}

// oneKind wants one of the flags that say what to void.
func oneKind(cmd *cobra.Command, names []string) error {
	var set []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			set = append(set, "--"+name)
		}
	}
	switch len(set) {
	case 0:
		return usagef("say what to void: --client, --credential, --kid, --resource, --jti or --all")
	case 1:
		return nil
	}
	return usagef("%s exclude each other: one revocation is about one thing", strings.Join(set, " and "))
}

func (a *app) revocationList() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("list", "List what is void: revocations that are in force", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		all, err := pages(func(cursor *string) ([]client.Revocation, *string, error) {
			r, err := api.ListRevocationsWithResponse(cmd.Context(), &client.ListRevocationsParams{Cursor: cursor})
			if err != nil {
				return nil, nil, conn.failed(err)
			}
			if r.JSON200 == nil {
				return nil, nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
			}
			return r.JSON200.Revocations, r.JSON200.Next, nil
		})
		if err != nil {
			return err
		}
		if len(all) == 0 && !p.json {
			a.note("No revocation is in force.")
		}
		return p.print(all, func(w io.Writer) {
			var rows [][]string
			for _, r := range all {
				rows = append(rows, []string{string(r.Kind), text(r.Value), instant(r.Since), openEnd(&r), forgotten(r.Until), r.Actor, text(r.Reason)})
			}
			table(w, []string{"kind", "value", "since", "before", "until", "actor", "reason"}, rows)
		})
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

// byFlag names the flag that stood for the value of a revocation.
func byFlag(p *client.Problem, kind client.RevocationKind) *client.Problem {
	if p == nil || p.Errors == nil {
		return p
	}
	for i, e := range *p.Errors {
		if e.Field == "value" {
			(*p.Errors)[i].Field = "--" + string(kind)
		}
	}
	return p
}

func revocationCard(w io.Writer, r *client.Revocation) {
	card(w,
		"kind", string(r.Kind),
		"value", text(r.Value),
		"client_id", text(r.ClientID),
		"since", instant(r.Since),
		"before", openEnd(r),
		"until", forgotten(r.Until),
		"actor", r.Actor,
		"reason", text(r.Reason),
		"created_at", instant(&r.CreatedAt),
	)
}

// openEnd writes the last time at which a token was issued that the revocation voids.
func openEnd(r *client.Revocation) string {
	switch {
	case r.Kind == client.RevocationKindJti:
		return ""
	case r.Before == nil:
		return "whatever is issued"
	}
	return instant(r.Before)
}

// forgotten writes when a revocation has nothing left to void.
func forgotten(t *time.Time) string {
	if t == nil {
		return "for ever"
	}
	return instant(t)
}
