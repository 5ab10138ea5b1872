package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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

// clockPlay is how far behind what was written last a clock may be.
const clockPlay = time.Second

func (a *app) restoreCommand() *cobra.Command {
	var p *printer
	var settings *settingFlags
	var confirm *confirmation
	var replace, forget bool
	var reason string
	cmd := verb("restore FILE", "Put a backup of the embedded store in place, with the server stopped", func(cmd *cobra.Command, args []string) error {
		if err := checkReason(reason); err != nil {
			return err
		}
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		r := &restoration{app: a, settings: settings, config: c.Config, file: args[0], replace: replace, forget: forget, confirm: confirm}
		r.by = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: fmt.Sprint(os.Getuid())}, Reason: authz.Redact(reason)}
		done, err := r.run(cmd.Context())
		if err != nil {
			return err
		}
		return p.print(done, done.say)
	})
	cmd.Long = "Puts what marque backup saved in the place of the database. No server may run on the folder. Every record is checked\n" +
		"first. A database that is there is left alone, but with --replace it gets another name; whatever it knows to be\n" +
		"disabled, deleted or revoked stays so. A backup is old: what else was changed since is lost, and without that database\n" +
		"who was disabled or revoked since is not any more. Every token that was issued until now is void. The answer says what\n" +
		"is left to do."
	cmd.ValidArgsFunction = nil // files
	cmd.Flags().BoolVar(&replace, "replace", false, "give a database that is there another name, and put the backup in its place")
	cmd.Flags().BoolVar(&forget, "forget-withdrawals", false, "with --replace: do not carry over what the database that is there knows to be disabled, deleted or revoked")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log; at most 256 bytes")
	settings, confirm, p = a.settings(cmd, "data", "kek-file"), a.confirming(cmd), a.printing(cmd)
	return cmd
}

// restoration is one run of the command.
type restoration struct {
	app      *app
	settings *settingFlags
	config   configs.Config
	file     string
	replace  bool
	forget   bool
	confirm  *confirmation
	now      time.Time
	by       audit.Origin
	old      *boltstore.Store // the database that is replaced, if what it knows is to be carried over
	unread   error            // why that cannot be
}

// restoredBackup is what was done.
type restoredBackup struct {
	Data     string       `json:"data"`
	Issuer   string       `json:"issuer"`
	Backup   time.Time    `json:"backup_time"`              // what was changed later is lost
	Revoked  time.Time    `json:"revoked_until"`            // tokens that were issued until then are void
	Records  int          `json:"records"`                  // each was checked
	Replaced string       `json:"replaced_file,omitempty"`  // where the database that was there is now
	Carried  *carriedOver `json:"carried_over,omitempty"`   // from there
	Unread   string       `json:"replaced_error,omitempty"` // why nothing was

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
	if err := r.lookAtOld(ctx, draft, b, keks); err != nil {
		return nil, err
	}
	if err := r.fits(ctx, b); err != nil {
		return nil, err
	}
	backup := b.newest.UTC().Truncate(time.Second)
	if err := r.confirm.ask("The backup is of %s, %s ago. What was changed since is lost, and every token that was issued until now (%s by this machine's clock) is void.",
		instant(&backup), shortDuration(r.now.Sub(b.newest).Round(time.Second)), instant(&r.now)); err != nil {
		return nil, err
	}
	if err := r.fits(ctx, b); err != nil { // whoever was asked took his time
		return nil, err
	}
	there := fileThere((&boltBackend{config: r.config}).path())
	ahead := datedAhead
	if !there { // tokens may have been dated by another machine's clock
		ahead += authz.MaxSkew
	}
	done := &restoredBackup{
		Data: r.config.Data, Issuer: b.installation.Issuer, Backup: backup, Records: b.read.Records,
		Revoked: r.now.Add(ahead).Truncate(time.Second).Add(time.Second),
		ago:     r.now.Sub(b.newest), next: r.next(b.installation),
	}
	if there {
		done.Replaced = boltstore.Aside((&boltBackend{config: r.config}).path(), r.now)
	}
	if r.unread != nil {
		done.Unread = r.unread.Error()
	}
	if done.Carried, err = r.carryOver(ctx, b, keks); err != nil {
		return nil, fmt.Errorf("withdraw what was withdrawn since the backup: %w", err)
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
	return done, draft.Publish(done.Replaced)
}

// fits refuses a backup for which the configuration is not, or that comes from a time that has not come.
func (r *restoration) fits(ctx context.Context, b *openedBackup) error {
	r.now = time.Now().UTC()
	if r.config.Issuer != "" && r.config.Issuer != b.installation.Issuer {
		return fmt.Errorf("%s is a backup of %s, and the configuration says that the issuer is %s", r.file, b.installation.Issuer, r.config.Issuer)
	}
	if b.newest.Sub(r.now) > clockPlay {
		return fmt.Errorf("the clock says %s, and %s is of %s: set the clock, or tokens that were issued since would stay good", instant(&r.now), r.file, instant(&b.newest))
	}
	return r.clockOfOld(ctx)
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
	fmt.Fprintf(w, "Every token that was issued until %s is void: partners ask for new ones.\n", until)
	if d.Carried != nil {
		d.Carried.say(w)
		fmt.Fprintf(w, "What else was changed after %s is lost. Do it again:\n"+
			"  - what was taken from a client without disabling it (a scope, a resource, --admin) is back: marque client update ID\n"+
			"  - clients, secrets and resources that were made since then are gone, and what was set is as it was before\n", at)
	} else {
		if d.Unread != "" {
			fmt.Fprintf(w, "The database that was there cannot be read: %s.\n", clean(d.Unread))
		}
		fmt.Fprintf(w, "What was changed after %s is lost, and nobody can tell what that was but the server's log and you. Do it again:\n"+
			"  - a client that was disabled or deleted since then gets tokens: marque client disable ID, marque client delete ID\n"+
			"  - a secret that was revoked since then works: marque client secret revoke ID CREDENTIAL\n"+
			"  - a signing key that was revoked since then signs, for whoever has it, too: marque key revoke KID, or --all\n"+
			"  - clients, secrets and resources that were made since then are gone, and what was set is as it was before\n", at)
	}
	fmt.Fprintf(w, "If the installation was moved elsewhere since then (marque export --final), it must not be started here.\nNext: %s\n", d.next)
}

// next is the command that serves what was restored.
func (r *restoration) next(in keys.Installation) string {
	words := r.settings.again("serve")
	switch {
	case in.Dev:
		words += " --dev"
	case strings.HasPrefix(in.Issuer, "http://"):
		words += " --insecure-http"
	}
	return words
}
