package moving

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// ActionImport is the action of the audit entry of an import; the target is the issuer.
const ActionImport = "installation.import"

// reasonUnproven is the reason of the revocation of everything.
const reasonUnproven = "it was imported from an export that may lack revocations"

// What goes into one commit, at most.
const (
	batchRecords = 1000
	batchOctets  = 1 << 20
)

// ErrExchanged says that the file is not the one that was checked.
var ErrExchanged = errors.New("moving: the file was exchanged while it was imported")

// ErrClock says that the clock by which everything would be revoked shows less than that of who made the export:
// tokens that were issued until then would stay good.
var ErrClock = errors.New("moving: the export comes from a time that has not come yet by the clock here: set the clock, or, if it was the one there that was ahead, set that and export again")

// Target is where an export goes.
type Target struct {
	Store store.Mover
	By    audit.Actor

	// Now is the clock of the store, or of this machine. Skew is how far ahead of it tokens may be dated that
	// were issued by whoever had the installation before.
	Now  func(context.Context) (time.Time, error)
	Skew time.Duration

	// Claim asks the store that was exported whether this target may take the export for complete, by the name that
	// Place gives it: see store.Mover. nil: nobody can say, so that it may not.
	Claim func(ctx context.Context, export string) (first bool, err error)
	// Settle tells the same store that a complete import is done: see store.Mover. Required with Claim.
	Settle func(ctx context.Context, export string) error

	// Progress is told of what was read, now and then; it may be nil.
	Progress func(Progress)
}

// Imported is what was put into the store.
type Imported struct {
	Records map[store.Kind]int
	Resumed int // how many records an earlier run had put there

	// Complete says that nothing can have been revoked that is not known here. Otherwise everything is revoked
	// that was issued until RevokedBefore, and Unproven says why.
	Complete      bool
	Unproven      Unproven
	RevokedBefore time.Time // zero: everything, whenever it is issued, as the export has it

	// Unsettled is why the store that was exported was not told that the complete import is done; nil: it was, or need not
	// be. Until it is, an earlier state of the target, were it put back, could be completed once more, and what is
	// revoked from now on would be good again.
	Unsettled error
}

// Unproven is why an import is not known to be complete.
type Unproven string

// The reasons.
const (
	NotFinal  Unproven = "not_final"  // the store may have changed after it was exported
	NoSource  Unproven = "no_source"  // the store that was exported was not named
	NotClosed Unproven = "not_closed" // it is in use again, or closed for another export, or not that store
	Claimed   Unproven = "claimed"    // the export was imported elsewhere
	WentBack  Unproven = "went_back"  // it was imported here, and the target is in a state from before that was done
)

// Place names a target to the store that was exported: another name for each namespace of each DB. Namespaces of one file
// have one epoch, and of two that import the same export one alone may be the first.
func Place(epoch, namespace string) string {
	name := sha256.Sum256([]byte(epoch + "\x00" + namespace))
	return base64.RawURLEncoding.EncodeToString(name[:])
}

// Import puts what was checked into the target, or the rest of it, if an earlier import of it was cut off. Until it
// is done nobody takes the target for an installation. An error leaves what was put there; the next Import of the
// same export goes on behind it. The error is store.ErrOccupied where something else is, or somebody else
// imports at the same time.
func (c *Contents) Import(ctx context.Context, from io.ReadSeeker, t Target) (Imported, error) {
	done, err := t.Store.Imported(ctx, c.Header.ID)
	if err != nil {
		return Imported{}, err
	}
	if now, err := t.Now(ctx); err != nil || now.Add(t.Skew).Before(c.Header.MadeAt) {
		return Imported{}, cmp.Or(err, ErrClock)
	}
	i := &importer{
		Target: t, ctx: ctx, contents: c, done: done, skip: done, floor: c.End.Floor,
		absent: map[authz.ClientID]bool{}, records: map[store.Kind]int{},
	}
	for _, id := range c.End.Changed {
		i.absent[id] = true
	}
	r, err := c.again(from)
	if err == nil {
		err = r.walk(ctx, t.Progress, i.put)
	}
	switch {
	case err != nil:
		return Imported{}, err
	case r.chain.last != c.last:
		return Imported{}, ErrExchanged
	case i.skip > 0:
		return Imported{}, fmt.Errorf("moving: the target has %d records more than the export: %w", i.skip, store.ErrOccupied)
	}
	return i.complete(done)
}

// importer is one run of Import.
type importer struct {
	Target
	ctx      context.Context // of the one call of Import
	contents *Contents

	done int // records in the store
	skip int // how many of them are still to be read
	next []store.Stored
	size int // octets of next

	floor  uint64
	all    authz.Revocation        // of everything, which is held back
	absent map[authz.ClientID]bool // clients that were written meanwhile and were not seen

	records map[store.Kind]int
}

// put takes the next record of the export. Which ones go to the store, and in which order, hangs on the file
// alone: so the next run knows where this one has stopped.
func (i *importer) put(r record) error {
	switch {
	case r.Kind == store.KindClient:
		delete(i.absent, authz.ClientID(r.Key))
	case r.Kind == store.KindCredential && i.absent[r.owner]: // of a client that was made behind the export's back
		return nil
	case r.Kind == store.KindRevocation:
		// One that has ended goes by itself, and its version must not come back.
		i.floor = max(i.floor, r.revocation.Version)
		if r.Key == everything() {
			i.all = r.revocation
			return nil
		}
	}
	i.records[r.Kind]++
	if i.skip > 0 {
		i.skip--
		return nil
	}
	if len(i.next) == batchRecords || i.size+len(r.Octets) > batchOctets {
		if err := i.flush(); err != nil {
			return err
		}
	}
	i.next = append(i.next, r.Stored)
	i.size += len(r.Octets)
	return nil
}

// flush puts what was gathered into the store.
func (i *importer) flush() error {
	if len(i.next) == 0 {
		return nil
	}
	if err := i.Store.Restore(i.ctx, i.contents.Header.ID, i.done, i.next); err != nil {
		return err
	}
	i.done += len(i.next)
	i.next, i.size = i.next[:0], 0
	return nil
}

// complete makes the installation. Whatever can fail, fails before the claim.
func (i *importer) complete(resumed int) (Imported, error) {
	h := i.contents.Header
	now, err := i.Now(i.ctx)
	if err != nil {
		return Imported{}, err
	}
	if now.Before(h.MadeAt) {
		now = h.MadeAt
	}
	if err := i.flush(); err != nil {
		return Imported{}, err
	}
	out := Imported{Records: i.records, Resumed: resumed}
	if out.Unproven, err = i.prove(); err != nil {
		return Imported{}, err
	}
	out.Complete = out.Unproven == ""
	by := audit.Origin{Actor: i.By}
	if !out.Complete {
		by.Reason = reasonUnproven
		i.all = authz.AllUntilNow(by, i.all, now, i.Skew)
		out.RevokedBefore = i.all.Before
	}
	if err := i.putAll(); err != nil {
		return Imported{}, err
	}
	e := by.Done(now, ActionImport, h.Installation.Issuer)
	if e.After, err = i.view(out); err != nil {
		return Imported{}, err
	}
	put := func() error { return i.Store.Complete(i.ctx, h.ID, i.done, i.next, i.floor, h.Installation, e) }
	if err = put(); err != nil && i.ctx.Err() == nil {
		err = put() // its answer may have been lost: what is done already is done
	}
	if err == nil && out.Complete {
		out.Unsettled = i.Settle(i.ctx, h.ID)
	}
	return out, err
}

// prove finds out whether nothing was withdrawn that the export lacks: its store was closed before it was
// read, still is, and goes on here and nowhere else.
func (i *importer) prove() (Unproven, error) {
	switch {
	case !i.contents.Header.Final:
		return NotFinal, nil
	case i.Claim == nil:
		return NoSource, nil
	}
	first, err := i.Claim(i.ctx, i.contents.Header.ID)
	switch {
	case errors.Is(err, store.ErrNotClosed):
		return NotClosed, nil
	case errors.Is(err, store.ErrSettled):
		return WentBack, nil
	case err == nil && !first:
		return Claimed, nil
	}
	return "", err
}

// putAll adds the revocation of everything to what is put last, so that it is there when the installation is.
func (i *importer) putAll() error {
	if !i.all.Valid() { // nobody has ever revoked everything
		return nil
	}
	i.all.Version = max(i.all.Version, i.floor) + 1
	i.floor = i.all.Version
	env, err := i.contents.envelope()
	if err != nil {
		return err
	}
	sealed, err := env.SealRevocation(i.all)
	if err != nil {
		return err
	}
	i.records[store.KindRevocation]++
	i.next = append(i.next, store.Stored{Kind: store.KindRevocation, Key: everything(), Octets: sealed, Ends: i.all.Until})
	return nil
}

func (i *importer) view(out Imported) (jsontext.Value, error) {
	// Of two that import the same at once one completes, and the other is not to take that one's completion for its own: what
	// they have proven may differ. So no entry is like another.
	v := audit.View{"run": rand.Text(), "export_id": i.contents.Header.ID, "made_at": i.contents.Header.MadeAt, "records": i.records, "complete": out.Complete}
	if !out.Complete {
		v["unproven"] = string(out.Unproven)
		v["revoked_before"] = out.RevokedBefore
	}
	_, after, err := audit.Diff(nil, v)
	return after, err
}
