package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) keyPlan() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("plan", "Show what will happen to signing keys by itself, soonest first", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.PlanKeysWithResponse(cmd.Context())
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		}
		all := nonNil(r.JSON200.Steps)
		if len(all) == 0 {
			a.note("Nothing is planned: keys rotate by hand, with marque key rotate.")
		}
		return p.print(all, func(w io.Writer) {
			var rows [][]string
			for _, s := range all {
				rows = append(rows, []string{dated(s.At), string(s.Algorithm), s.KID, string(s.State)})
			}
			table(w, []string{"at", "algorithm", "kid", "becomes"}, rows)
		})
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func (a *app) keyRevoke() *cobra.Command {
	var p *printer
	var conn *connection
	var sure *confirmation
	cmd := verb("revoke KID", "End a signing key that others may have: every token that it signed is void at once", func(cmd *cobra.Command, args []string) error {
		if err := sure.ask("This voids every token that the key %s signed, for ever; if it signs now, the next key takes over at once.", args[0]); err != nil {
			return err
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		again := revokedBefore(cmd.Context(), api, args[0])
		r, err := api.RevokeKeyWithResponse(cmd.Context(), args[0], nil)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{missing: fmt.Sprintf("no key %q; see marque key list", args[0])})
		}
		k := r.JSON200
		if again {
			a.note("The key was revoked before, when it was %s; nothing has changed.", k.Was)
		}
		a.note("Services that verify by themselves may take its tokens for up to %s more, until the keys that they have fetched expire.", shortDuration(time.Duration(k.JWKSMaxAge)*time.Second))
		return p.print(k, func(w io.Writer) {
			card(w,
				"kid", k.KID,
				"algorithm", string(k.Algorithm),
				"was", string(k.Was),
				"successor", text(k.Successor),
				"sign_from", instant(k.SignFrom),
				"jwks_max_age", seconds(&k.JWKSMaxAge),
			)
		})
	})
	p, sure, conn = a.printing(cmd), a.confirming(cmd), a.changing(cmd)
	return cmd
}

// revokedBefore reports whether a key is known to be revoked, for a note alone.
func revokedBefore(ctx context.Context, api *client.ClientWithResponses, kid string) bool {
	r, err := api.ListKeysWithResponse(ctx)
	return err == nil && r.JSON200 != nil && slices.ContainsFunc(r.JSON200.Keys, func(k client.Key) bool {
		return k.KID == kid && k.State == client.KeyStateRevoked
	})
}
