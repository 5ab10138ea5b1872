package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// errUnforeseen says that an import would revoke everything, and nobody was told.
var errUnforeseen = errors.New("the store that --source names has changed since this began: it was reopened, closed for another export, or taken over by another import")

// announce says beforehand that everything will be revoked, and what would be better.
func (i *importing) announce(ctx context.Context, c configs.Config, source database) error {
	if err := i.foresee(ctx, source); err != nil {
		return fmt.Errorf("--source: %w", err)
	}
	i.compareClocks(ctx, c, source)
	if i.foreseen == "" {
		return nil
	}
	until := fmt.Sprintf("%s by this machine's clock", time.Now().UTC().Format("2006-01-02 15:04:05Z"))
	if c.Store.Driver != "bolt" {
		until = "by the clock of its Redis; this machine's shows " + time.Now().UTC().Format("2006-01-02 15:04:05Z")
	}
	return i.sure.ask("Everything that was issued until now (%s) will be revoked: %s. %s.", until, reasonOf(i.foreseen), i.better())
}

// foresee finds out what the source would say at the end of the import, and changes nothing there.
func (i *importing) foresee(ctx context.Context, source database) error {
	switch {
	case !i.header.Final:
		i.foreseen = moving.NotFinal
		return nil
	case source == nil:
		i.foreseen = moving.NoSource
		return nil
	}
	state, err := source.State(ctx)
	if err != nil {
		return err
	}
	by := i.place
	if by == "" {
		by = "nobody-yet" // no place has that name
	}
	_, first, err := state.Claim(i.header.ID, by)
	switch {
	case errors.Is(err, store.ErrNotClosed):
		i.foreseen = moving.NotClosed
	case errors.Is(err, store.ErrSettled):
		i.foreseen = moving.WentBack
	case err != nil:
		return err
	case !first:
		i.foreseen = moving.Claimed
	}
	return nil
}

// better is what whoever wants to revoke nothing would do instead.
func (i *importing) better() string {
	switch i.foreseen {
	case moving.NotFinal:
		return "To keep what was issued, export it with --final, and import that with --source"
	case moving.NoSource:
		return "To keep what was issued, name that store with --source"
	case moving.NotClosed:
		return "To keep what was issued, export it once more with --final, unless it is another store, and import that"
	case moving.Claimed:
		return "Unless that place is lost, go on with it: of two that run, neither knows what the other revokes"
	case moving.WentBack:
		return "If the newer state of this place can be had, put that back instead"
	}
	return ""
}

// holdToForeseen makes an import end before its last commit, where the source says at the end that everything is to be
// revoked and has not said so at the start. The next run asks.
func (i *importing) holdToForeseen(t *moving.Target) {
	claim := t.Claim
	if claim == nil || i.foreseen != "" {
		return
	}
	t.Claim = func(ctx context.Context, export string) (bool, error) {
		first, err := claim(ctx, export)
		if errors.Is(err, store.ErrNotClosed) || errors.Is(err, store.ErrSettled) || err == nil && !first {
			return false, fmt.Errorf("%w, and to go on now would revoke everything", errUnforeseen)
		}
		return first, err
	}
}

// compareClocks notes that the clock by which everything would be revoked is not that of the servers which issued it.
func (i *importing) compareClocks(ctx context.Context, c configs.Config, source database) {
	shared, ok := source.(store.Clock)
	if !ok || c.Store.Driver != "bolt" {
		return
	}
	before := time.Now()
	there, err := shared.Clock(ctx)
	if err != nil {
		return // the claim will say so
	}
	if there.Before(before.Add(-authz.MaxSkew)) || there.After(time.Now().Add(authz.MaxSkew)) {
		i.app.note("the clock of %s shows %s, and this machine's %s: set the one that is wrong before tokens are issued here",
			i.source, instant(&there), instant(&before))
	}
}

// confirm returns nil once an installation that was found in place of an import is as durable as was asked for: the
// run that has made it may have been told that it is not known to be.
func (i *importing) confirm(ctx context.Context, db database, there keys.Installation) error {
	secrets, err := there.Open(i.keks)
	if err != nil {
		return nil // that it is there is all that can be said
	}
	envelope, err := store.NewEnvelope(secrets.RecordKey, i.into)
	if err != nil {
		return err
	}
	records, err := db.records(envelope)
	if err != nil {
		return err
	}
	c, ok := records.(interface{ Confirm(context.Context) error })
	if !ok {
		return nil
	}
	if err := c.Confirm(ctx); err != nil && !errors.Is(err, store.ErrClosed) {
		return err
	}
	return nil
}

// command is this command, to be typed again.
func (i *importing) command() string {
	words := "import " + shellWord(i.path)
	if i.source != "" {
		words += " --source " + shellWord(i.source)
	}
	return i.settings.again(words)
}
