package main

import (
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
	cmd := verb("plan", "Show what will happen to signing keys by itself, soonest first, and what is overdue", func(cmd *cobra.Command, _ []string) error {
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
			a.note("Nothing is planned. If keys.period is 0, keys rotate by hand alone: marque key rotate.")
		}
		if slices.ContainsFunc(all, func(s client.KeyStep) bool { return s.Overdue }) {
			a.note("What is overdue, no server has done: the log of each says why. marque doctor looks at the rest.")
		}
		return p.print(all, func(w io.Writer) { planTable(w, all, time.Now()) })
	})
	cmd.Long = "Shows what will happen to signing keys by itself, soonest first. What comes by schedule follows from keys.period\n" +
		"(keys.periods) as it is set today; what is stamped is decided, and no setting takes it back. What should have happened\n" +
		"is overdue, and comes first."
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func planTable(w io.Writer, all []client.KeyStep, now time.Time) {
	var rows [][]string
	for _, s := range all {
		by, kid := "stamp", text(s.KID)
		if s.Scheduled {
			by = "schedule"
		}
		if s.Overdue {
			by = ""
		}
		if kid == "" {
			kid = "(yet to be made)"
		}
		rows = append(rows, []string{planned(s, now), string(s.Algorithm), kid, string(s.State), by})
	}
	table(w, []string{"at", "algorithm", "kid", "becomes", "by"}, rows)
}

// planned says when a step comes, or that it is overdue.
func planned(s client.KeyStep, now time.Time) string {
	if s.Overdue {
		return "overdue since " + instant(&s.At) + " (" + inDays(now.Sub(s.At)) + ")"
	}
	return instant(&s.At) + " (in " + inDays(s.At.Sub(now)) + ")"
}

// inDays writes a long time in days, and a short one as it is.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= time.Hour:
		return shortDuration(d.Round(time.Minute))
	}
	return shortDuration(d.Round(time.Second))
}
