package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
)

// actionRestoreInstallation is the action of the audit entry of a restored backup; the target is the issuer.
const actionRestoreInstallation = "installation.restore"

// datedAhead is how far ahead of the clock a server dates tokens: see authz.
const datedAhead = 2 * time.Second

func (a *app) restoreCommand() *cobra.Command {
	var p *printer
	var settings *settingFlags
	var confirm *confirmation
	var replace bool
	var reason string
	cmd := verb("restore FILE", "Put a backup of the embedded store in place, with the server stopped", func(cmd *cobra.Command, args []string) error {
		if err := checkReason(reason); err != nil {
			return err
		}
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		r := &restoration{app: a, config: c.Config, file: args[0], replace: replace, confirm: confirm, now: time.Now().UTC()}
		r.by = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: fmt.Sprint(os.Getuid())}, Reason: authz.Redact(reason)}
		done, err := r.run(cmd.Context())
		if err != nil {
			return err
		}
		return p.print(done, done.say)
	})
	cmd.Long = "Puts what marque backup saved in the place of the database. No server may run on the folder. Every record is checked\n" +
		"first. A database that is there is left alone, but with --replace it gets another name. A backup is old: whatever\n" +
		"was changed since is lost, and who was disabled or revoked since is not any more. What can be made good is: every token\n" +
		"that was issued until now is void. The answer says what is left to do."
	cmd.ValidArgsFunction = nil // files
	cmd.Flags().BoolVar(&replace, "replace", false, "give a database that is there another name, and put the backup in its place")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log; at most 256 bytes")
	settings, confirm, p = a.settings(cmd, "data", "kek-file"), a.confirming(cmd), a.printing(cmd)
	return cmd
}

// restoration is one run of the command.
type restoration struct {
	app     *app
	config  configs.Config
	file    string
	replace bool
	confirm *confirmation
	now     time.Time
	by      audit.Origin
	old     keys.Installation // of the database that is replaced; the zero value when it cannot be read, or there is none
}

// restoredBackup is what was done.
type restoredBackup struct {
	Data     string    `json:"data"`
	Issuer   string    `json:"issuer"`
	Backup   time.Time `json:"backup_time"`             // what was changed later is lost
	Revoked  time.Time `json:"revoked_until"`           // tokens that were issued until then are void
	Records  int       `json:"records"`                 // each was checked
	Replaced string    `json:"replaced_file,omitempty"` // where the database that was there is now

	ago  time.Duration
	next string
}

func (r *restoration) run(ctx context.Context) (_ *restoredBackup, err error) {
	if r.config.Store.Driver == "redis" {
		return nil, errors.New("the store is Redis: restore the copy that Redis keeps of it; what marque backup saved is for the embedded store (store.driver: bolt)")
	}
	keks, err := backupKEKs(&r.config)
	if err != nil {
		return nil, err
	}
	backup, err := r.openFile()
	if err != nil {
		return nil, err
	}
	defer backup.Close()
	b := &boltBackend{config: r.config}
	if err := b.look(false); err != nil {
		return nil, err
	}
	if err := r.lookAtOld(ctx, b); err != nil {
		return nil, err
	}
	if err := makeDataFolder(r.config.Data, r.config.Dev); err != nil {
		return nil, err
	}
	draft, err := boltstore.Restore(ctx, boltstore.Config{Path: b.path(), Namespace: r.config.Store.Namespace}, backup, r.replace)
	switch {
	case errors.Is(err, store.ErrOccupied):
		return nil, fmt.Errorf("%s holds a database already, and is left alone; with --replace it is moved aside, to a name beside it", r.config.Data)
	case errors.Is(err, boltstore.ErrLocked):
		return nil, &inUseError{r.config.Data, errors.Join(errLocked, err)}
	case err != nil:
		return nil, fmt.Errorf("%s cannot be restored: %w", r.file, err)
	}
	defer func() { err = errors.Join(err, draft.Close()) }()
	return r.publish(ctx, draft, keks)
}

// openFile opens the backup, which nobody may be writing to.
func (r *restoration) openFile() (*os.File, error) {
	info, err := os.Stat(r.file)
	if err != nil {
		return nil, err
	}
	if there, err := os.Stat((&boltBackend{config: r.config}).path()); err == nil && os.SameFile(info, there) {
		return nil, fmt.Errorf("%s is the database itself", r.file)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", r.file)
	}
	held, err := lockHeld(r.file)
	if err == nil && held {
		return nil, fmt.Errorf("%s is in use by another process: a backup is a file that marque backup made", r.file)
	}
	return os.Open(r.file)
}

// publish checks the copy, makes it what it has to be now, and puts it in place.
func (r *restoration) publish(ctx context.Context, draft *boltstore.Restoration, keks []*jose.KEK) (*restoredBackup, error) {
	if err := draft.Check(ctx); err != nil {
		return nil, fmt.Errorf("%s cannot be restored: %w", r.file, err)
	}
	b, err := openBackup(ctx, draft.DB, r.config.Store.Namespace, keks)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be restored: %w", r.file, err)
	}
	if err := r.fits(b); err != nil {
		return nil, err
	}
	done := &restoredBackup{
		Data: r.config.Data, Issuer: b.installation.Issuer, Backup: b.newest.UTC().Truncate(time.Second), Records: b.read.Records,
		Revoked: r.now.Add(datedAhead).Truncate(time.Second).Add(time.Second),
		ago:     r.now.Sub(b.newest), next: r.next(b.installation.Dev),
	}
	aside := ""
	if fileThere((&boltBackend{config: r.config}).path()) {
		aside = filepath.Join(r.config.Data, databaseName+".replaced-"+r.now.Format("20060102T150405.000Z"))
		done.Replaced = aside
	}
	if err := r.confirm.ask("The backup is of %s, %s ago. What was changed since is lost, and every token that was issued until now is void.",
		instant(&done.Backup), shortDuration(done.ago.Round(time.Second))); err != nil {
		return nil, err
	}
	if err := r.withdraw(ctx, b, done); err != nil {
		return nil, fmt.Errorf("withdraw what was issued since the backup: %w", err)
	}
	e := r.by.Done(r.now, actionRestoreInstallation, b.installation.Issuer)
	if _, e.After, err = audit.Diff(nil, audit.View{"backup_time": done.Backup.UTC(), "revoked_until": done.Revoked}); err != nil {
		return nil, err
	}
	if err := draft.Renew(ctx, e); err != nil {
		return nil, err
	}
	return done, draft.Publish(aside)
}

// fits refuses a backup that is another installation's, or from a time that has not come.
func (r *restoration) fits(b *openedBackup) error {
	if r.config.Issuer != "" && r.config.Issuer != b.installation.Issuer {
		return fmt.Errorf("%s is a backup of %s, and the configuration says that the issuer is %s", r.file, b.installation.Issuer, r.config.Issuer)
	}
	if b.newest.Sub(r.now) > time.Second {
		return fmt.Errorf("the clock says %s, and %s is of %s: set the clock, or tokens that were issued since would stay good", instant(&r.now), r.file, instant(&b.newest))
	}
	if r.old.ID != "" && r.old.ID != b.installation.ID {
		return fmt.Errorf("%s is a backup of another installation (of %s, made at %s) than the one in %s (of %s, made at %s): name another folder with --data, or move that database away yourself",
			r.file, b.installation.Issuer, instant(&b.installation.CreatedAt), r.config.Data, r.old.Issuer, instant(&r.old.CreatedAt))
	}
	return nil
}

// lookAtOld reads whose database is to be replaced, if that can still be read: it may have to be replaced because it
// cannot.
func (r *restoration) lookAtOld(ctx context.Context, b *boltBackend) error {
	if !r.replace || !fileThere(b.path()) {
		return nil
	}
	db, err := boltstore.OpenBackup(boltstore.Config{Path: b.path(), Namespace: r.config.Store.Namespace})
	switch {
	case errors.Is(err, boltstore.ErrLocked):
		return &inUseError{r.config.Data, errors.Join(errLocked, err)}
	case errors.Is(err, store.ErrClosed):
		return fmt.Errorf("%s is not replaced: the installation goes on elsewhere, and would do so twice: %w", b.path(), err)
	case err != nil:
		return nil
	}
	defer db.Close()
	if in, err := db.Installation(ctx); err == nil {
		r.old = in
	}
	return nil
}

// withdraw voids every token that may have been issued since the backup, or revoked.
func (r *restoration) withdraw(ctx context.Context, b *openedBackup, done *restoredBackup) error {
	revoker, err := authz.NewRevoker(authz.RevokerConfig{
		Records: b.store, Index: token.NewIndex(), Applied: func(context.Context) error { return nil },
		PerClient: authz.DefaultTokenRevocations, Now: func() time.Time { return r.now },
	})
	if err != nil {
		return err
	}
	by := r.by
	by.Reason = "a backup of " + instant(&done.Backup) + " was restored"
	_, _, err = revoker.Revoke(ctx, by, token.Revocation{
		Subject: token.Subject{Kind: token.RevokedAll}, Before: done.Revoked, Until: done.Revoked.Add(token.RevocationKept),
	}, "")
	return err
}

func (d *restoredBackup) say(w io.Writer) {
	at, until := instant(&d.Backup), instant(&d.Revoked)
	fmt.Fprintf(w, "Restored the installation of %s in %s, as it was at %s, %s ago: %d records, each with its authentication code.\n",
		clean(d.Issuer), clean(d.Data), at, shortDuration(d.ago.Round(time.Second)), d.Records)
	if d.Replaced != "" {
		fmt.Fprintf(w, "The database that was there is now %s.\n", clean(d.Replaced))
	}
	fmt.Fprintf(w, "Every token that was issued until %s is void: partners ask for new ones.\n"+
		"What was changed after %s is lost, and nobody can tell what that was but the server's log and you. Do it again:\n"+
		"  - a client that was disabled or deleted since then gets tokens: marque client disable ID, marque client delete ID\n"+
		"  - a secret that was revoked since then works: marque client secret revoke ID CREDENTIAL\n"+
		"  - a signing key that was revoked since then signs, for whoever has it, too: marque key revoke KID, or --all\n"+
		"  - clients, secrets and resources that were made since then are gone, and what was set is as it was before\n"+
		"If the installation was moved elsewhere since then (marque export --final), it must not be started here.\n", until, at)
	fmt.Fprintf(w, "Next: %s\n", d.next)
}

// next is the command that serves what was restored.
func (r *restoration) next(dev bool) string {
	words := "marque serve"
	if dev {
		words += " --dev"
	}
	words += " --data " + shellWord(r.config.Data)
	if r.config.Keys.KEKFile != "" && !dev {
		words += " --kek-file " + shellWord(r.config.Keys.KEKFile)
	}
	return words
}
