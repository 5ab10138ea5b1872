package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// DefaultTokenRevocations is how many single tokens of a client may be revoked at a time before all
// of its tokens are.
const DefaultTokenRevocations = 1_000

// The audit actions of a revocation that stands for itself.
const (
	actionRevoke  = "revocation.create"
	actionRestore = "revocation.restore" // see Revoker.Restore
)

// RevokerConfig is what a Revoker needs.
type RevokerConfig struct {
	Records   RevocationRecords
	Index     *token.Index                    // what is in Records, as of Applied
	Applied   func(ctx context.Context) error // see RegistryConfig
	PerClient int                             // see DefaultTokenRevocations
	Now       func() time.Time                // on a shared store its clock: see SharedClock

	// Skew is how far ahead of Now other servers on the store may date tokens which they decide by records
	// that were changed: MaxSkew, and the time in which they learn of a change. What is withdrawn until now
	// is withdrawn until so much later. 0 if nobody else uses the store.
	Skew time.Duration
}

// Revoker stores revocations: the one way by which clients, admins and the server itself withdraw
// tokens. It is safe for concurrent use.
type Revoker struct {
	config RevokerConfig
	latest atomic.Int64 // see Dated: Unix seconds

	withheld atomic.Pointer[token.Found] // what is not issued now; nil: everything is. See withhold

	mu       sync.Mutex
	taken    map[ClientID]int // revocations of single tokens that are being stored
	changing []*withheld      // what withheld is made of
}

// NewRevoker returns a Revoker, or an error that names what is missing.
func NewRevoker(c RevokerConfig) (*Revoker, error) {
	var errs []error
	need := func(ok bool, field string) {
		if !ok {
			errs = append(errs, fmt.Errorf("authz: RevokerConfig.%s is missing", field))
		}
	}
	need(c.Records != nil, "Records")
	need(c.Index != nil, "Index")
	need(c.Applied != nil, "Applied")
	need(c.PerClient > 0, "PerClient")
	need(c.Now != nil, "Now")
	if c.Skew < 0 || c.Skew > token.MaxLeeway-time.Second {
		errs = append(errs, errors.New("authz: RevokerConfig.Skew is out of range"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Revoker{config: c, taken: map[ClientID]int{}}, nil
}

// maxAhead bounds how far a token may be dated ahead of the clock, to come after a revocation.
const maxAhead = 2 * time.Second

// Dated tells the Revoker what a token that is about to be signed says of its iat. A token may be dated
// ahead of the clock, to come after a revocation; one that is made a moment later must still cover it,
// and so must one that is made after the clock was set back a little. It is cheap enough for every token.
func (v *Revoker) Dated(iat time.Time) {
	at := iat.Unix()
	for {
		known := v.latest.Load()
		if at <= known || v.latest.CompareAndSwap(known, at) {
			return
		}
	}
}

// Restored tells the Revoker, when the server starts, of a stored revocation: before the start, tokens may
// have been dated after it, ahead of the clock. Those of a clock that was further ahead than now allows are
// left out, so that starting anew ends what that clock has stopped. On a shared store Skew covers what was
// dated ahead by any of the servers.
func (v *Revoker) Restored(r token.Revocation) {
	if v.config.Skew > 0 {
		return
	}
	if after := r.Before.Add(time.Second); !r.Before.IsZero() && after.Sub(v.config.Now()) <= token.MaxLeeway {
		v.Dated(after)
	}
}

// dated is an instant after which no token is dated that was issued until now.
func (v *Revoker) dated() time.Time {
	now := roundedUp(v.config.Now().Add(v.config.Skew))
	if latest := time.Unix(v.latest.Load(), 0).UTC(); latest.After(now) {
		return latest
	}
	return now
}

// errClockBehind says that the clock shows less than tokens do.
var errClockBehind = errors.New("authz: the clock was set back, and tokens say that they were issued later than now: what they are good for cannot be withdrawn by their date before that time comes")

// now is dated where it may be the end of a revocation. After the clock was set back tokens are dated ahead
// of it, and the revocation must be, too: nothing that falls under it is issued until that time comes.
// That is done for as long as verifiers may be told to overlook. From a clock that was further ahead the
// error is an *UnavailableError, CauseClockBehind: a revocation up to this moment would leave tokens that
// come to life later, and one up to theirs would stop whom it is about for as long.
func (v *Revoker) now() (time.Time, error) {
	until := v.dated()
	if ahead := until.Sub(v.config.Now()); ahead > token.MaxLeeway {
		return time.Time{}, &UnavailableError{Cause: CauseClockBehind, RetryAfter: ahead - token.MaxLeeway, Err: errClockBehind}
	}
	return until, nil
}

// since is the Since of a revocation of what was issued from then on. Another server's clock may be behind.
func (v *Revoker) since(t time.Time) time.Time {
	if t.IsZero() || v.config.Skew == 0 {
		return t
	}
	return t.Add(-MaxSkew)
}

// issuedUntilNow returns the revocation of a subject's tokens that were issued until now. The error is
// that of now.
func (v *Revoker) issuedUntilNow(s token.Subject) (token.Revocation, error) {
	until, err := v.now()
	if err != nil {
		return token.Revocation{}, err
	}
	return issuedUntil(s, until), nil
}

// Revoke withdraws what r says, in addition to what is withdrawn already, and returns what is stored
// then, and whether that changed. It returns nil only after the change is durable and applied here. The
// client is whose token it is, for a jti, if that is known. When too many single tokens of that client
// are revoked, all that were issued to it until now are instead: what is returned is then of the
// client, and harms no other. What may be forgotten already is not stored. The error may be that of now.
func (v *Revoker) Revoke(ctx context.Context, by audit.Origin, r token.Revocation, client ClientID) (Revocation, bool, error) {
	if !r.Valid() {
		return Revocation{}, false, errors.New("authz: a revocation needs a subject")
	}
	w := withdrawal{Revocation: wholeRevocation(r)}
	if r.Kind == token.RevokedJTI && client != "" {
		w.client = client
		release, ok := v.room(r.Subject, client)
		defer release()
		if !ok {
			w = untilNow(clientSubject(client))
			by.Reason = collapsed(by.Reason, r.Subject)
		}
	}
	return v.store(ctx, by, w)
}

// collapsed is the reason of a revocation that stands for one token too many.
func collapsed(reason string, s token.Subject) string {
	why := "too many single tokens of this client are revoked; the last one was " + s.String()
	if reason == "" {
		return why
	}
	return reason + " (" + why + ")"
}

// room reports whether a further token of the client may be revoked alone, and holds its place until
// release is called: parallel requests must not exceed the cap together. Several servers may, by what
// they store at the same moment.
func (v *Revoker) room(s token.Subject, client ClientID) (release func(), ok bool) {
	if _, known := v.config.Index.Revocation(s); known {
		return func() {}, true // it has its place
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.config.Index.Tokens(string(client))+v.taken[client] >= v.config.PerClient {
		return func() {}, false
	}
	v.taken[client]++
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.taken[client]--; v.taken[client] == 0 {
			delete(v.taken, client)
		}
	}, true
}

// store writes one revocation, and returns once it is applied here: also when there was nothing to write,
// which is perhaps a repeat of what was committed and not yet applied.
func (v *Revoker) store(ctx context.Context, by audit.Origin, w withdrawal) (Revocation, bool, error) {
	r, written, err := v.put(ctx, by, actionRevoke, w)
	if err != nil {
		return Revocation{}, false, err
	}
	return v.applied(ctx, r, written)
}

// put reads, merges and writes one revocation, again when it lost a race.
func (v *Revoker) put(ctx context.Context, by audit.Origin, action string, w withdrawal) (Revocation, bool, error) {
	for range maxAttempts {
		changes, err := v.prepare(ctx, by, w)
		if err != nil {
			return Revocation{}, false, err
		}
		c := changes[0]
		if !c.write {
			return c.next, false, nil
		}
		e, err := changed(by.Done(v.config.Now(), action, w.Subject.String()), revocationView(c.old), revocationView(c.next), nil)
		if err != nil {
			return Revocation{}, false, err
		}
		r, err := v.config.Records.PutRevocation(ctx, c.next, e)
		if errors.Is(err, ErrConflict) {
			continue
		}
		return r, err == nil, err
	}
	return Revocation{}, false, fmt.Errorf("authz: the revocation of a %s keeps changing: %w", w.Kind, ErrConflict)
}

// Restore puts back what is known to be withdrawn where the store lacks it, or says less: the store went
// back in time. Several servers may do so at once. It reports whether there was anything to write, and does
// not wait until that is applied here, for this server knows it already.
func (v *Revoker) Restore(ctx context.Context, by audit.Origin, r token.Revocation, client ClientID) (bool, error) {
	_, written, err := v.put(ctx, by, actionRestore, withdrawal{Revocation: r, client: client})
	return written, err
}

func (v *Revoker) applied(ctx context.Context, r Revocation, changed bool) (Revocation, bool, error) {
	if err := v.config.Applied(ctx); err != nil {
		return Revocation{}, false, err
	}
	return r, changed, nil
}

// revision is what becomes of the revocation of one subject.
type revision struct {
	old, next Revocation // old is the zero value when nothing of the subject was withdrawn
	write     bool       // next is not what is stored
}

// writes reports whether anything is to be stored.
func writes(revisions []revision) bool {
	return slices.ContainsFunc(revisions, func(r revision) bool { return r.write })
}

// toStore returns what is to be stored.
func toStore(revisions []revision) []Revocation {
	var out []Revocation
	for _, r := range revisions {
		if r.write {
			out = append(out, r.next)
		}
	}
	return out
}

// prepare reads what is stored of the subjects, at one instant, and returns for each of ws what is to be
// stored, in the version that it replaces.
func (v *Revoker) prepare(ctx context.Context, by audit.Origin, ws ...withdrawal) ([]revision, error) {
	if len(ws) == 0 {
		return nil, nil
	}
	subjects := make([]token.Subject, len(ws))
	for i, w := range ws {
		subjects[i] = w.Subject
	}
	stored, err := v.config.Records.Revocations(ctx, subjects)
	if err != nil {
		return nil, err
	}
	now := v.config.Now()
	out := make([]revision, len(ws))
	for i, w := range ws {
		if w.untilNow {
			if w.Revocation, err = v.issuedUntilNow(w.Subject); err != nil {
				return nil, err
			}
		}
		out[i] = w.revise(by, stored, now)
	}
	return out, nil
}

func (w withdrawal) revise(by audit.Origin, stored []Revocation, now time.Time) revision {
	var old Revocation
	if at := slices.IndexFunc(stored, func(r Revocation) bool { return r.Subject == w.Subject }); at >= 0 {
		old = stored[at]
	}
	merged, write := w.next(old, now)
	if !write && old.live(now) {
		return revision{old: old, next: old}
	}
	next := Revocation{
		Revocation: merged, Client: w.client, Actor: by.Actor, Reason: by.Reason,
		CreatedAt: now.UTC().Truncate(time.Second), Version: old.Version,
	}
	if !old.live(now) {
		old = Revocation{}
		if !write {
			next.Version = 0
		}
	} else if next.Client == "" { // an operator need not know whose token it is; who counted it does
		next.Client = old.Client
	}
	return revision{old: old, next: next, write: write}
}
