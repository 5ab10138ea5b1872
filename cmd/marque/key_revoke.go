package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) keyRevoke() *cobra.Command {
	var p *printer
	var conn *connection
	var sure *confirmation
	var all bool
	cmd := verb("revoke KID", "End a signing key that others may have: every token that it signed is void at once", func(cmd *cobra.Command, args []string) error {
		if all {
			return a.revokeAllKeys(cmd.Context(), p, sure, conn)
		}
		return a.revokeKey(cmd.Context(), p, sure, conn, args[0])
	})
	cmd.Use = "revoke [KID]"
	cmd.Long = "Ends a signing key that others may have: it leaves the key set, never signs again, and every token that it signed\n" +
		"is void, for ever. If it signs, the next key takes over at once.\n\n" +
		"--all ends every key of every algorithm, for a stolen store or key-encryption key: every token of every partner is\n" +
		"void, and fresh keys sign at once. Partners simply ask for a new token. Whoever has the key-encryption key can open\n" +
		"the fresh keys, too: after that was stolen, first move to another one (marque key new-kek, marque key rewrap)."
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return surplus(cmd, args[1])
		case len(args) == 1 && cmd.Flags().Changed("all"):
			return usagef("give a KID or --all, not both")
		case len(args) == 0 && !all:
			return usagef("KID is missing, or --all")
		}
		return nil
	}
	cmd.Flags().BoolVar(&all, "all", false, "end every key of every algorithm, and sign with fresh ones at once")
	p, sure, conn = a.printing(cmd), a.confirming(cmd), a.changing(cmd)
	return cmd
}

func (a *app) revokeKey(ctx context.Context, p *printer, sure *confirmation, conn *connection, kid string) error {
	if err := sure.ask("This voids every token that the key %s signed, for ever; if it signs now, the next key takes over at once.", kid); err != nil {
		return err
	}
	api, err := conn.open()
	if err != nil {
		return err
	}
	again := revokedBefore(ctx, api, kid)
	r, err := api.RevokeKeyWithResponse(ctx, kid, nil)
	if err != nil {
		return conn.failed(err)
	}
	if r.JSON200 == nil {
		return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{missing: fmt.Sprintf("no key %q; see marque key list", kid)})
	}
	k := r.JSON200
	if again {
		a.note("The key was revoked before, when it was %s; nothing has changed.", k.Was)
	}
	a.note("Services that verify by themselves may take its tokens for up to %s more, until the keys that they have fetched expire.", seconds(&k.JWKSMaxAge))
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
}

// revokeAllKeys is for a stolen store: what it does cannot be taken back, and everybody notices.
func (a *app) revokeAllKeys(ctx context.Context, p *printer, sure *confirmation, conn *connection) error {
	if err := sure.ask("This ends every signing key. Every token of every partner is void, for ever; partners simply ask for a new one. " +
		"Services that keep the key set may refuse new tokens until they fetch it again, and accept old ones until theirs expires, " +
		"unless they follow revocations. If the key-encryption key was stolen, too, move to another one first (marque key rewrap)."); err != nil {
		return err
	}
	api, err := conn.open()
	if err != nil {
		return err
	}
	r, err := api.RevokeAllKeysWithResponse(ctx, &client.RevokeAllKeysParams{IdempotencyKey: *idempotencyKey()})
	if err != nil {
		return conn.failed(err)
	}
	if r.JSON200 == nil {
		err := refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		if r.StatusCode() >= http.StatusInternalServerError { // after its repeats
			return fmt.Errorf("some keys may be revoked, and others not; see marque key list. "+
				"Running this again ends them all, fresh ones too, which does no more harm (%w)", err)
		}
		return err
	}
	rings := nonNil(r.JSON200.Keys)
	a.revokedAll(rings)
	return p.print(rings, func(w io.Writer) { revokedTable(w, rings, time.Now()) })
}

// revokedAll says what is still to come of an emergency, and what is left to do.
func (a *app) revokedAll(rings []client.RevokedRing) {
	var longest int64
	for _, r := range rings {
		longest = max(longest, r.JWKSMaxAge)
	}
	a.note("Services that verify by themselves may take old tokens, and refuse new ones, for up to %s, until the keys that they have fetched expire; "+
		"those that follow revocations refuse old ones at once.", seconds(&longest))
	a.note("The fresh keys rest under the same key-encryption key. If somebody else may have that: marque key new-kek, marque key rewrap, and this once more.")
}

func revokedTable(w io.Writer, rings []client.RevokedRing, now time.Time) {
	var rows [][]string
	for _, r := range rings {
		for _, kid := range r.Kids {
			rows = append(rows, []string{string(r.Algorithm), kid, "revoked"})
		}
		if r.Successor != nil && r.SignFrom != nil {
			rows = append(rows, []string{string(r.Algorithm), *r.Successor, "signs from " + signsFrom(*r.SignFrom, now)})
		}
	}
	table(w, []string{"algorithm", "kid", "outcome"}, rows)
}

// revokedBefore reports whether a key is known to be revoked, for a note alone.
func revokedBefore(ctx context.Context, api *client.ClientWithResponses, kid string) bool {
	r, err := api.ListKeysWithResponse(ctx)
	return err == nil && r.JSON200 != nil && slices.ContainsFunc(r.JSON200.Keys, func(k client.Key) bool {
		return k.KID == kid && k.State == client.KeyStateRevoked
	})
}
