package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) clientRefusals() *cobra.Command {
	var p *printer
	var conn *connection
	var request string
	cmd := verb("refusals ID", "Show why a client's last requests were refused, newest first", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		var all []client.Refusal
		if request != "" {
			all, err = oneRefusal(cmd, conn, api, request)
		} else {
			all, err = refusalsOf(cmd, conn, api, args[0])
		}
		if err != nil {
			return err
		}
		return p.print(all, func(w io.Writer) { refusalTable(w, all) })
	})
	cmd.Use = "refusals [ID]"
	cmd.Long = "Shows why a client's last requests were refused, newest first: at most 50, since the server started.\n" +
		"A request that failed before the server knew whose it was is found by --request-id, which is what the\n" +
		"partner read in X-Request-Id."
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return surplus(cmd, args[1])
		case len(args) == 1 && request != "":
			return usagef("give an ID or --request-id, not both")
		case len(args) == 0 && request == "":
			return usagef("ID is missing, or --request-id")
		}
		return nil
	}
	cmd.Flags().StringVar(&request, "request-id", "", "show this one request instead, whoever sent it")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func refusalTable(w io.Writer, all []client.Refusal) {
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{instant(&r.Time), r.Route, r.Cause, text(r.ClientID), text(r.CredentialID), text(r.Address), r.RequestID, text(r.Detail)})
	}
	table(w, []string{"time", "route", "cause", "client_id", "credential_id", "address", "request_id", "detail"}, rows)
}

func refusalsOf(cmd *cobra.Command, conn *connection, api *client.ClientWithResponses, id string) ([]client.Refusal, error) {
	r, err := api.ListClientRefusalsWithResponse(cmd.Context(), id)
	if err != nil {
		return nil, conn.failed(err)
	}
	if r.JSON200 == nil {
		return nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), clientSubject(id))
	}
	return nonNil(r.JSON200.Refusals), nil
}

func oneRefusal(cmd *cobra.Command, conn *connection, api *client.ClientWithResponses, request string) ([]client.Refusal, error) {
	r, err := api.GetRefusalWithResponse(cmd.Context(), request)
	if err != nil {
		return nil, conn.failed(err)
	}
	if r.JSON200 == nil {
		return nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{
			missing: "no refused request of that identifier is remembered; the server's log may still have it",
		})
	}
	return []client.Refusal{*r.JSON200}, nil
}
