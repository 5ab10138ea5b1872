package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
)

// reasonWithdrawn is the reason of the entries of what is carried over.
const reasonWithdrawn = "it was withdrawn in the database that the backup replaces"

// carriedOver is what the database that is replaced knew to be withdrawn, and the backup did not.
type carriedOver struct {
	Disabled    []authz.ClientID   `json:"clients_disabled"`
	Deleted     []authz.ClientID   `json:"clients_deleted"`
	Secrets     []carriedSecret    `json:"secrets_ended"`
	Resources   []authz.ResourceID `json:"resources_deleted"`
	Keys        []string           `json:"keys_revoked"`
	Revocations int                `json:"revocations"`
	Damaged     int                `json:"damaged_records"` // of which nobody knows what they withdrew

	damage []string // the first of them
}

type carriedSecret struct {
	Client     authz.ClientID     `json:"client_id"`
	Credential authz.CredentialID `json:"credential_id"`
}

// lookAtOld finds out whose database is to be replaced. One that is not this installation's, or in a state in which
// something would be lost that goes on elsewhere, is not; one of which nothing can be read may have to be, for that.
func (r *restoration) lookAtOld(ctx context.Context, draft *boltstore.Restoration, b *openedBackup, keks []*jose.KEK) error {
	path := (&boltBackend{config: r.config}).path()
	db, err := draft.Old()
	if err == nil && db == nil {
		return nil
	}
	var in keys.Installation
	if err == nil {
		in, err = db.Installation(ctx)
	}
	switch {
	case errors.Is(err, store.ErrDamaged), errors.Is(err, keys.ErrDamaged):
		r.unread = err
		return nil
	case errors.Is(err, store.ErrClosed):
		return fmt.Errorf("%s is not replaced: the installation goes on elsewhere, and would do so twice: %w", path, err)
	case errors.Is(err, boltstore.ErrLocked):
		return &inUseError{r.config.Data, errors.Join(errLocked, err)}
	case err != nil:
		return fmt.Errorf("%s is not replaced; if nothing in it is needed, move it away yourself: %w", path, err)
	case in.ID != b.installation.ID:
		return fmt.Errorf("%s is a backup of another installation (of %s, made at %s) than the one in %s (of %s, made at %s): name another folder with --data, or move that database away yourself",
			r.file, b.installation.Issuer, instant(&b.installation.CreatedAt), r.config.Data, in.Issuer, instant(&in.CreatedAt))
	case r.forget:
		return nil
	}
	secrets, err := in.Open(keks)
	if errors.Is(err, keys.ErrDamaged) {
		r.unread = err
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s knows what was withdrawn since the backup, and cannot be opened: %w; name its key-encryption key too, or leave what it knows behind with --forget-withdrawals", path, err)
	}
	env, err := store.NewEnvelope(secrets.RecordKey, r.config.Store.Namespace)
	if err == nil {
		r.old, err = boltstore.New(db, env)
	}
	return err
}

// clockOfOld refuses a clock that is behind the database that is replaced: as one that is behind the backup.
func (r *restoration) clockOfOld(ctx context.Context) error {
	if r.old == nil {
		return nil
	}
	entries, _, err := r.old.Latest(ctx, "", 1)
	if errors.Is(err, store.ErrDamaged) || len(entries) == 0 { // carryOver tells of what is damaged
		return nil
	}
	if err == nil && entries[0].Time.Sub(r.now) > clockPlay {
		err = fmt.Errorf("the clock says %s, and the database in %s is of %s: set the clock, or tokens that were issued since would stay good", instant(&r.now), r.config.Data, instant(&entries[0].Time))
	}
	return err
}

// carryOver withdraws in the backup what was withdrawn since.
func (r *restoration) carryOver(ctx context.Context, b *openedBackup, keks []*jose.KEK) (*carriedOver, error) {
	if r.old == nil {
		return nil, nil
	}
	by := r.by
	by.Reason = reasonWithdrawn
	w, err := b.store.Withdraw(ctx, r.old, by)
	if err != nil {
		return nil, err
	}
	out := &carriedOver{
		Disabled: wholeList(w.Disabled), Deleted: wholeList(w.Deleted), Resources: wholeList(w.Resources), Keys: wholeList(w.Keys),
		Secrets: []carriedSecret{}, Revocations: w.Revocations, Damaged: len(w.Damaged),
	}
	for _, s := range w.Secrets {
		out.Secrets = append(out.Secrets, carriedSecret{s.Client, s.Credential})
	}
	for _, err := range w.Damaged[:min(len(w.Damaged), damagedShown)] {
		out.damage = append(out.damage, err.Error())
	}
	if len(w.Keys) == 0 {
		return out, nil
	}
	c := timelineConfig(r.config)
	c.Rings, c.KEKs, c.KEKID, c.Installation, c.FirstKeyAtOnce = b.store, keks, b.installation.KEKID, b.installation.ID, true
	ring, err := keys.NewRing(c)
	if err != nil {
		return nil, inSettings(err)
	}
	for _, kid := range w.Keys {
		if _, err := ring.Revoke(ctx, kid, by); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// wholeList makes an empty list of none, for --json.
func wholeList[T any](list []T) []T { return append([]T{}, list...) }

func (c *carriedOver) say(w io.Writer) {
	fmt.Fprintln(w, "What the database that was there knew to be withdrawn since the backup, and this stays so:")
	said := false
	line := func(what string, n int, names []string) {
		if n == 0 {
			return
		}
		said = true
		fmt.Fprintf(w, "  - %s: %d", what, n)
		if len(names) > 0 {
			fmt.Fprintf(w, " (%s)", clean(firstFew(names)))
		}
		fmt.Fprintln(w)
	}
	secrets := make([]string, len(c.Secrets))
	for i, s := range c.Secrets {
		secrets[i] = string(s.Client) + " " + string(s.Credential)
	}
	line("clients disabled", len(c.Disabled), texts(c.Disabled))
	line("clients deleted", len(c.Deleted), texts(c.Deleted))
	line("secrets revoked, or ending sooner", len(secrets), secrets)
	line("resources deleted", len(c.Resources), texts(c.Resources))
	line("signing keys revoked", len(c.Keys), c.Keys)
	line("revocations of tokens", c.Revocations, nil)
	if !said {
		fmt.Fprintln(w, "  - nothing")
	}
	if c.Damaged > 0 {
		fmt.Fprintf(w, "%d of its records are damaged, and what they withdrew is not known:\n  %s\n", c.Damaged, cleanLines(strings.Join(c.damage, "\n  ")))
	}
}

// namesShown is how many identifiers a message names; --json has all.
const namesShown = 10

func firstFew(names []string) string {
	if len(names) > namesShown {
		names = append(slices.Clone(names[:namesShown]), "…")
	}
	return strings.Join(names, ", ")
}

func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
