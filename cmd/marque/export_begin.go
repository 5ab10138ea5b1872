package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// errReopened says that a final export did not remain one. What was written may lack what was revoked since.
var errReopened = errors.New("the store was opened again, or closed for another export, while it was exported")

// begin makes sure that the store can be exported, closes it for a final export, and otherwise finds its feed, if
// somebody may write to it.
func (x *exporting) begin(ctx context.Context, b backend, db database, src *moving.Source) error {
	in, err := db.Installation(ctx)
	if err != nil {
		return b.place().unreadable(err)
	}
	if in.Dev {
		return moving.ErrDevelopment
	}
	secrets, err := in.Open(src.KEKs)
	if err != nil {
		return b.place().unreadable(err)
	}
	state, err := db.State(ctx)
	if err != nil {
		return err
	}
	x.away = state.Err()
	if x.final {
		return x.close(ctx, b, db, src, state)
	}
	if x.away == nil {
		if err := x.note(ctx, db, src); err != nil {
			return err
		}
	}
	if src.Now, err = madeAt(ctx, db); err != nil || x.away != nil || !b.shared() {
		return err
	}
	src.Changes, err = feedOf(db, secrets, src.Namespace)
	return err
}

// feedOf is the feed of a store that servers may write to.
func feedOf(db database, secrets keys.Secrets, namespace string) (store.Changes, error) {
	envelope, err := store.NewEnvelope(secrets.RecordKey, namespace)
	if err != nil {
		return nil, err
	}
	return db.records(envelope)
}

// close closes the store, once a rehearsal has shown that everything in it can be read, and that there is room for
// it: servers that were stopped for an export that then fails have been stopped for nothing.
func (x *exporting) close(ctx context.Context, b backend, db database, src *moving.Source, state store.State) error {
	name := b.place().name
	if _, err := state.CloseFor(src.ID); err != nil {
		return fmt.Errorf("%s cannot be closed once more (%w). If the new place is lost, an export without --final can still be made: %s; with an import of that, everything is revoked", name, err, x.settings.again("export FILE"))
	}
	rehearsed, err := x.write(ctx, io.Discard, *src, "Rehearsing:")
	if err == nil {
		err = x.roomFor(rehearsed.Octets)
	}
	switch {
	case stopped(ctx, err):
		return errors.New("stopped; nothing was exported, and the store is as it was")
	case err != nil:
		return fmt.Errorf("%w; nothing was exported, and the store is as it was", err)
	}
	if err := x.sure.ask("Servers on %s refuse everything from now on, until the export was imported elsewhere or it is reopened.", name); err != nil {
		return err
	}
	if x.away == nil {
		if err := x.note(ctx, db, src); err != nil {
			return err
		}
	}
	if err := db.CloseFor(ctx, src.ID); err != nil {
		return fmt.Errorf("%w; nothing was exported, and whether %s is closed is not known: run this again, or open it with %s", err, name, x.settings.again("export --reopen"))
	}
	src.Now, err = madeAt(ctx, db)
	if err != nil {
		return x.broken(ctx, err)
	}
	return nil
}

// note records who exports what: a copy of everything, and for a final one the end of this place.
func (x *exporting) note(ctx context.Context, db database, src *moving.Source) error {
	err := noteExport(ctx, db, actionExport, struct {
		ExportID string `json:"export_id"`
		Final    bool   `json:"final"`
	}{src.ID, x.final})
	if err != nil {
		return fmt.Errorf("%w; nothing was exported, and the store is as it was", err)
	}
	return nil
}

// roomFor returns an error where the file will not fit, as far as that can be known.
func (x *exporting) roomFor(octets int64) error {
	if x.file == "-" {
		return nil
	}
	dir := filepath.Dir(x.file)
	if there, ok := fileSystemOf(dir); ok && there.free < uint64(octets) {
		return fmt.Errorf("the export has %d octets, and in %s there is room for %d: make room, or name a file elsewhere", octets, dir, there.free)
	}
	return nil
}

// madeAt is the time that an export is dated by: nothing in the store is known to be younger, whatever the clock of this
// machine says. An import whose clock shows less does not take place: by it, tokens would stay good.
func madeAt(ctx context.Context, db database) (time.Time, error) {
	now, err := clockOf(db)(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var last store.Stored
	if err := db.Dump(ctx, store.KindAudit, func(s store.Stored) error {
		last = s
		return nil
	}); err != nil || last.Octets == nil {
		return now, err
	}
	e, err := store.DecodeEntry(last.Key, last.Octets)
	if err != nil {
		return time.Time{}, err
	}
	if e.Time.After(now) {
		return e.Time, nil
	}
	return now, nil
}

// stillClosed returns errReopened unless the store was closed for the export all the while.
func stillClosed(ctx context.Context, db database, export string) error {
	state, err := db.State(ctx)
	if err == nil && !state.ClosedFor(export) {
		err = errReopened
	}
	return err
}
