package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Show, rotate, revoke, import and export signing keys, and move to another key-encryption key",
		a.keyList(), a.keyPlan(), a.keyRotate(), a.keyRevoke(), a.keyImport(), a.keyExport(), a.keyNewKEK(), a.keyRewrap())
}

func (a *app) keyList() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("list", "List signing keys with their times", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.ListKeysWithResponse(cmd.Context())
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		}
		all := nonNil(r.JSON200.Keys)
		return p.print(all, func(w io.Writer) {
			var rows [][]string
			for _, k := range all {
				imported := map[bool]string{true: "yes"}[k.Imported != nil && *k.Imported]
				rows = append(rows, []string{string(k.Algorithm), k.KID, string(k.State), instant(k.PublishedAt), instant(k.SignFrom), instant(k.WithdrawAt), imported})
			}
			table(w, []string{"algorithm", "kid", "state", "published_at", "sign_from", "withdraw_at", "imported"}, rows)
		})
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func (a *app) keyRotate() *cobra.Command {
	var p *printer
	var conn *connection
	var algorithm string
	cmd := verb("rotate", "Let the next key take over: at once, or when it has been published for long enough", func(cmd *cobra.Command, _ []string) error {
		var body client.RotateOptions
		if algorithm != "" {
			body.Algorithm = new(client.AlgorithmName(algorithm))
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.RotateKeysWithResponse(cmd.Context(), nil, body)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), ringSubject(algorithm))
		}
		all := nonNil(r.JSON200.Keys)
		return p.print(all, func(w io.Writer) { rotatedTable(w, all) })
	})
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "the ring to rotate: ES256, ES384, RS256, PS256 or Ed25519 (default every ring)")
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

func rotatedTable(w io.Writer, all []client.RotatedKey) {
	var rows [][]string
	for _, k := range all {
		rows = append(rows, []string{string(k.Algorithm), k.KID, signsFrom(k.SignFrom, time.Now())})
	}
	table(w, []string{"algorithm", "kid", "sign_from"}, rows)
}

// signsFrom writes when a key takes over: a time, and how far away it is.
func signsFrom(t, now time.Time) string {
	if wait := t.Sub(now).Round(time.Second); wait > 0 {
		return instant(&t) + " (in " + shortDuration(wait) + ")"
	}
	return instant(&t) + " (now)"
}
