package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Show who changed what, when and why", a.auditList())
}

// defaultAudit is how many entries are shown without --limit: a screen or two.
const defaultAudit = 50

func (a *app) auditList() *cobra.Command {
	var (
		p                     *printer
		conn                  *connection
		actor, action, target string
		since                 time.Time
		revoked               bool
		limit                 int
	)
	cmd := verb("list", "Show the audit log, newest first", func(cmd *cobra.Command, _ []string) error {
		if limit < 0 {
			return usagef("--limit: a number of entries; 0 is all of them")
		}
		q := client.ListAuditParams{Actor: given(actor), Action: given(action), Target: given(target), Revoked: onlyIf(revoked)}
		if cmd.Flags().Changed("since") {
			q.Since = &since
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		all, more, err := auditEntries(cmd, conn, api, q, limit)
		if err != nil {
			return err
		}
		if more {
			a.note("There are more; --limit N shows as many, --limit 0 all of them.")
		}
		if len(all) == 0 && !p.json {
			a.note("%s", nothingLogged(action))
		}
		return p.print(all, func(w io.Writer) { auditTable(w, all) })
	})
	f := cmd.Flags()
	f.StringVar(&actor, "actor", "", "only by this actor, such as uid:1000, client:ops or system:keys")
	f.StringVar(&action, "action", "", "only this action, such as client.create, or all that begin with it, such as client")
	f.StringVar(&target, "target", "", "only on this client, resource, key, or subject of a revocation; acme finds what revoked client:acme, too")
	f.BoolVar(&revoked, "revoked", false, "only acts by which tokens became void: revocations, and what disabled, deleted, changed or ended something and took tokens with it")
	f.Var((*timeFlag)(&since), "since", "nothing older (RFC 3339)")
	f.IntVar(&limit, "limit", defaultAudit, "how many at most; 0 is all")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

// auditEntries reads pages until there are enough entries; more says that there are further ones.
func auditEntries(cmd *cobra.Command, conn *connection, api *client.ClientWithResponses, q client.ListAuditParams, limit int) (all []client.AuditEntry, more bool, err error) {
	all = []client.AuditEntry{}
	for {
		if limit > 0 {
			q.Limit = new(min(limit-len(all)+1, maxPage)) // one more than wanted tells whether there is one
		}
		r, err := api.ListAuditWithResponse(cmd.Context(), &q)
		if err != nil {
			return nil, false, conn.failed(err)
		}
		if r.JSON200 == nil {
			return nil, false, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		}
		all = append(all, r.JSON200.Entries...)
		if limit > 0 && len(all) > limit {
			return all[:limit], true, nil
		}
		if r.JSON200.Next == nil || (q.Cursor != nil && *q.Cursor == *r.JSON200.Next) {
			return all, false, nil
		}
		q.Cursor = r.JSON200.Next
	}
}

// maxPage is how many entries a page of the management API has at most.
const maxPage = 1000
