package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// importedJSON is what --json says of an import.
type importedJSON struct {
	ExportID      string             `json:"export_id"`
	Issuer        string             `json:"issuer"`
	MadeAt        time.Time          `json:"made_at"`
	Records       map[store.Kind]int `json:"records"`
	Resumed       int                `json:"records_of_an_earlier_run"`
	Complete      bool               `json:"complete"`
	Unproven      moving.Unproven    `json:"unproven,omitempty"`
	RevokedBefore *time.Time         `json:"revoked_before,omitempty"`
	Unsettled     string             `json:"unsettled,omitempty"`
}

func (i *importing) report(p place, done moving.Imported, source database) error {
	h := i.header
	out := importedJSON{
		ExportID: h.ID, Issuer: h.Installation.Issuer, MadeAt: h.MadeAt,
		Records: done.Records, Resumed: done.Resumed, Complete: done.Complete, Unproven: done.Unproven,
	}
	if !done.RevokedBefore.IsZero() {
		out.RevokedBefore = &done.RevokedBefore
	}
	if done.Unsettled != nil {
		out.Unsettled = done.Unsettled.Error()
	}
	return i.printer.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "Imported the installation of %s, as it was at %s, into %s: %s.\n", clean(out.Issuer), instant(&h.MadeAt), clean(p.name), countedKinds(done.Records))
		if done.Resumed > 0 {
			fmt.Fprintf(w, "%d of them were there from an earlier run.\n", done.Resumed)
		}
		switch {
		case done.Complete:
			fmt.Fprintln(w, "It is complete: tokens that were issued before stay good.")
			if _, shared := source.(store.Clock); shared {
				fmt.Fprintln(w, stopOld)
			}
			if out.Unsettled != "" {
				fmt.Fprintf(w, notSettled, clean(i.source), clean(out.Unsettled), i.command())
			}
		case out.RevokedBefore == nil:
			fmt.Fprintln(w, "Everything is revoked, without an end, as the export has it.")
		default:
			fmt.Fprintf(w, "Everything that was issued until %s is revoked: %s.\n", instant(out.RevokedBefore), reasonOf(done.Unproven))
			fmt.Fprintln(w, "Partners get new tokens by themselves; services refuse the old ones as soon as they follow this store's server.")
		}
		if !done.Complete {
			fmt.Fprintf(w, notInIt, instant(&h.MadeAt))
		}
		next := i.settings.again("serve")
		if strings.HasPrefix(out.Issuer, "http://") {
			next += " --insecure-http"
		}
		fmt.Fprintf(w, "Next: %s\n", next)
	})
}

// stopOld is what remains to be done at a source that servers share. Its mark is as durable as any write there, and who
// does not hear of it cannot obey.
const stopOld = "Stop the servers of the old place, and take its address out of their configuration: one that cannot reach its Redis\n" +
	"goes on from its cache for store.outage (5 minutes), and one that finds the Redis as it was before the export would go on for good."

// notSettled is what is to be done when Imported.Unsettled.
const notSettled = "But %s could not be told that this is done (%s). Run the import once more, which only tells it: %s\n" +
	"Until then, no snapshot of this place from before now must come back: it could be imported into again, and what is revoked from now on would be good.\n"

// notInIt is what an import that is not complete cannot make good.
const notInIt = "What was changed elsewhere after %s is not in it, and only you can know what that was. Do it again:\n" +
	"  - a client that was disabled or deleted since then gets tokens: marque client disable ID, marque client delete ID\n" +
	"  - a secret that was revoked since then works: marque client secret revoke ID CREDENTIAL\n" +
	"  - a signing key that was revoked since then signs, for whoever has it, too: marque key revoke KID, or --all\n" +
	"If servers still run on the store that was exported, stop them: what is revoked here is not known there.\n"

// reasonOf says why an import is not known to be complete.
func reasonOf(u moving.Unproven) string {
	return map[moving.Unproven]string{
		moving.NotFinal:  "the export is not final (marque export --final), so the store that was exported may have changed since",
		moving.NoSource:  "the store that was exported was not named (--source), so it may be in use again, or have been imported elsewhere",
		moving.NotClosed: "the store that --source names is not closed for this export: it is in use again, was exported once more, or is another one",
		moving.Claimed:   "this export was imported elsewhere already, and what was revoked there is not known here",
		moving.WentBack:  "this export was imported here before, and what is here is from before that was done: a snapshot, or a backup; what was revoked here since is lost",
	}[u]
}
