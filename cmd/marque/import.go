package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// importing is one call of import.
type importing struct {
	app      *app
	settings *settingFlags
	sure     *confirmation
	printer  *printer
	source   string

	path   string
	file   *os.File
	size   int64
	keks   []*jose.KEK
	header moving.Header
	into   string // the namespace

	place    string          // the name by which an earlier run may have claimed the source; empty: there was none
	foreseen moving.Unproven // what the person knows, or whoever reads the documentation
}

func (a *app) importCommand() *cobra.Command {
	i := &importing{app: a}
	cmd := verb("import FILE", "Put what marque export wrote into an empty store", func(cmd *cobra.Command, args []string) error {
		c, err := i.settings.load(false)
		if err != nil {
			return err
		}
		i.path = args[0]
		return i.run(cmd.Context(), c.Config)
	})
	cmd.Long = "Makes the installation that was exported in the store that the settings name, which must be empty. The file is read\n" +
		"to its end before anything is written: what is wrong is named by its line, and nothing is imported. One that was\n" +
		"stopped is finished by running it again with the same file; until then no server takes the store for an installation.\n\n" +
		"Everything that was issued before is revoked, and partners get new tokens by themselves, unless nothing can have\n" +
		"been revoked that the file lacks: it was made with --final, and --source names the store that was exported, which\n" +
		"still is closed for it and is imported for the first time."
	cmd.ValidArgsFunction = nil // files
	cmd.Flags().StringVar(&i.source, "source", "", "the store that was exported: its configuration file, or its data folder")
	i.settings = a.settings(cmd, "data", "kek-file", "store")
	i.printer, i.sure = a.printing(cmd), a.confirming(cmd)
	return cmd
}

func (i *importing) run(ctx context.Context, c configs.Config) (err error) {
	i.into = c.Store.Namespace
	if i.keks, err = readKEKs(c); err != nil {
		return err
	}
	if err := i.open(); err != nil {
		return err
	}
	defer i.file.Close()
	if err := i.head(c); err != nil {
		return err
	}
	source, err := i.openSource(ctx, c)
	if err != nil {
		return err
	}
	if source != nil {
		defer func() { err = errors.Join(err, source.Close()) }()
	}
	target := newBackend(c) // one for both, which warns once
	if err := i.early(ctx, c, target, source); err != nil {
		return err
	}
	if err := i.announce(ctx, c, source); err != nil {
		return err
	}
	contents, err := i.check(ctx, c)
	if err != nil {
		return err
	}
	return i.put(ctx, c, target, contents, source)
}

// open opens the file, which is read twice.
func (i *importing) open() error {
	info, err := os.Stat(i.path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file, and an import reads it twice: name the file that marque export wrote", i.path)
	}
	if err != nil {
		return err
	}
	if i.file, err = os.Open(i.path); err != nil {
		return err
	}
	i.size = info.Size()
	return nil
}

// head reads what the file is, and whether it can be for this configuration.
func (i *importing) head(c configs.Config) error {
	var err error
	if i.header, err = moving.Head(i.file, i.keks); err != nil {
		return i.refused(err)
	}
	in := i.header.Installation
	if in.Dev {
		return moving.ErrDevelopment
	}
	if c.Issuer != "" && c.Issuer != in.Issuer {
		return fmt.Errorf("issuer: the configuration says %q, and the export is of the installation of %q; correct the issuer: every token and every partner names it, so that it does not change by moving", c.Issuer, in.Issuer)
	}
	return nil
}

// refused names the file in an error of reading it.
func (i *importing) refused(err error) error {
	return fmt.Errorf("%s: %w; nothing was imported", i.path, err)
}

// early finds that the target is taken before a long file is read.
func (i *importing) early(ctx context.Context, c configs.Config, b backend, source database) (err error) {
	db, err := i.app.openToMove(ctx, b, true)
	if errors.Is(err, errNoInstallation) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.Imported(ctx, i.header.ID)
	if err == nil {
		i.place = moving.Place(db.Epoch(), c.Store.Namespace)
	}
	if err := i.settle(ctx, c, db, source, err); err != nil {
		return err
	}
	return i.occupied(ctx, b.place(), db, err)
}

// settle tells the source that the import is done which has claimed it, and which may have been killed before it said so,
// where occupied is because of that. It returns an error only if it could not.
func (i *importing) settle(ctx context.Context, c configs.Config, db, source database, occupied error) error {
	if source == nil || !errors.Is(occupied, store.ErrOccupied) {
		return nil
	}
	if there, err := db.Installation(ctx); err != nil || there.ID != i.header.Installation.ID {
		return nil // something else is there, or half of something
	}
	err := source.Settle(ctx, i.header.ID, moving.Place(db.Epoch(), c.Store.Namespace))
	if err == nil || errors.Is(err, store.ErrNotClosed) { // another place has claimed it, or none
		return nil
	}
	return fmt.Errorf("this installation was imported before, and %s could not be told that this is done: %w; run this again: %s", i.source, err, i.command())
}

// occupied says what is in the way.
func (i *importing) occupied(ctx context.Context, p place, db database, err error) error {
	if !errors.Is(err, store.ErrOccupied) {
		return err
	}
	there, readErr := db.Installation(ctx)
	switch {
	case readErr == nil && there.ID == i.header.Installation.ID:
		if err := i.confirm(ctx, db, there); err != nil {
			return fmt.Errorf("%s holds this installation already, and whether that will last is not known: %w; run this again: %s", p.name, err, i.command())
		}
		return fmt.Errorf("%s holds this installation already, that of %s: it was imported before, or it is where it was exported; nothing has changed", p.name, there.Issuer)
	case readErr == nil:
		return fmt.Errorf("%s holds the installation of %s, and an import makes one in an empty place: %s", p.name, there.Issuer, p.elsewhere)
	}
	return fmt.Errorf("%s is not empty: another import has begun there, or works there now; finish that one with its own file, or %s (%w)", p.name, p.elsewhere, err)
}

// check reads the file to its end.
func (i *importing) check(ctx context.Context, c configs.Config) (*moving.Contents, error) {
	m := i.app.meter("Checking: ", i.size)
	defer m.end()
	contents, err := moving.Check(ctx, i.file, i.keks, c.Store.Namespace, m.show)
	if stopped(ctx, err) {
		return nil, errors.New("stopped; nothing was imported")
	}
	if err != nil {
		return nil, i.refused(err)
	}
	return contents, nil
}

// put writes it to the target.
func (i *importing) put(ctx context.Context, c configs.Config, b backend, contents *moving.Contents, source database) (err error) {
	if c.Store.Driver == "bolt" {
		if err := makeDataFolder(c.Data, false); err != nil {
			return err
		}
	}
	db, err := i.app.openToMove(ctx, b, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t := moving.Target{Store: db, By: thisUser(), Now: clockOf(db), Skew: sharedSkew(c)}
	if source != nil {
		by := moving.Place(db.Epoch(), c.Store.Namespace)
		t.Claim = func(ctx context.Context, export string) (bool, error) { return source.Claim(ctx, export, by) }
		t.Settle = func(ctx context.Context, export string) error { return source.Settle(ctx, export, by) }
	}
	i.holdToForeseen(&t)
	m := i.app.meter("Importing:", i.size)
	t.Progress = m.show
	done, err := contents.Import(ctx, i.file, t)
	m.end()
	switch {
	case err == nil:
		return i.report(b.place(), done, source)
	case errors.Is(err, store.ErrOccupied):
		return i.occupied(ctx, b.place(), db, err)
	case stopped(ctx, err):
		err = errors.New("stopped")
	}
	return fmt.Errorf("%w; %s is not an installation yet: to go on, run this again: %s", err, b.place().name, i.command())
}

// clockOf is the clock by which tokens of a store are withdrawn: its own, or this machine's where no other uses
// it.
func clockOf(db database) func(context.Context) (time.Time, error) {
	if shared, ok := db.(store.Clock); ok {
		return shared.Clock
	}
	return func(context.Context) (time.Time, error) { return time.Now(), nil }
}
