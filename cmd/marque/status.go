package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

// statusCommand asks a running server how it is. Its exit code is what /readyz says, for whoever watches the
// process from beside it and has no HTTP client: an image that holds nothing but marque, a unit of the system.
func (a *app) statusCommand() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("status", "Say whether the running server issues tokens, and what is wrong if anything is", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.StatusWithResponse(cmd.Context())
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		}
		if err := p.print(r.JSON200, func(w io.Writer) { statusCard(w, r.JSON200) }); err != nil {
			return err
		}
		switch r.JSON200.State {
		case client.StatusStateOk, client.StatusStateDegraded:
			return nil
		case client.StatusStateUnavailable:
			return errors.New("no tokens are issued")
		}
		return fmt.Errorf("the server is in the state %q, which this version does not know", clean(string(r.JSON200.State)))
	})
	cmd.Long = "Asks the running server whether it issues tokens. It answers from memory, at once, while the store is away too\n" +
		"(over TCP it may not: whether the token of --client-id still holds is asked of the store).\n" +
		"Exit code 1 if no tokens are issued, or no server answers; a server that is degraded issues them."
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func statusCard(w io.Writer, s *client.Status) {
	pairs := []string{"state", string(s.State), "store confirmed", instant(s.Store.ConfirmedAt)}
	if off := s.Store.ClockOffsetMs; off != nil {
		pairs = append(pairs, "clock ahead of the store's", fmt.Sprintf("%d ms", *off))
	}
	card(w, append(pairs, "store went back", instant(s.Store.WentBackAt))...)
	for _, r := range s.Reasons {
		fmt.Fprintf(w, "%s: %s\n", clean(string(r.Code)), clean(r.Message))
	}
}
