package authz

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// A change of a client or resource may withdraw what was issued until now (EVT-06). "Now" is said before
// the change waits for the store, and until it is applied here, tokens are decided by what was before:
// one of those is dated after "now". So tokens that would fall under it are not issued meanwhile, as if
// the revocation were open-ended until it is applied. This is kept in memory alone, and is no less safe
// for it: a process that dies in between issues nothing either, and the next one reads the change. Had
// it been stored as open-ended and closed by a second write, a process that dies would leave a client
// that gets no tokens, for no reason that anybody sees; had it been stored a second time with a later
// "now", one that dies would leave tokens that stay good.

// withheld is what is not issued while one change is being made.
type withheld struct {
	subjects []token.Subject
	ended    time.Time // when the change failed so that it may have been stored all the same; zero: it did not
}

// alongside runs commit, which stores a change together with the revisions that ws come to, and returns
// once it is applied here. While it runs no token is issued that falls under one of ws that says until
// now; and after a fault not until Confirmed says that all which may have been stored is applied.
func (v *Revoker) alongside(ctx context.Context, by audit.Origin, ws []withdrawal, commit func([]revision) error) error {
	settle := v.withhold(ws)
	known := false // what became of it; not so after a panic
	defer func() { settle(known) }()
	revisions, err := v.prepare(ctx, by, ws...)
	if err != nil {
		known = true
		return err
	}
	err = commit(revisions)
	known = err == nil || errors.Is(err, ErrConflict)
	if err != nil {
		return err
	}
	return v.withdrawAgain(ctx, by, ws, revisions)
}

// storing is how much of Skew a change may take until it is stored and applied here.
const storing = 250 * time.Millisecond

// withdrawAgain withdraws once more what a change withdrew until now, if the change took long. Another server
// decides tokens by what was before until it has heard of the change, and what it dated by then would no
// longer be covered. The end of an open-ended revocation needs none of that: whoever obeyed that has issued
// nothing since. If it fails the change is not acknowledged, and repeating it withdraws again.
func (v *Revoker) withdrawAgain(ctx context.Context, by audit.Origin, ws []withdrawal, revisions []revision) error {
	if v.config.Skew == 0 {
		return nil
	}
	least := v.config.Now().Add(v.config.Skew - storing)
	for i, w := range ws {
		if !w.untilNow || w.closes || revisions[i].next.Before.IsZero() || !revisions[i].next.Before.Before(least) {
			continue
		}
		if _, _, err := v.store(ctx, by, untilNow(w.Subject)); err != nil {
			return err
		}
	}
	return nil
}

// withhold stops the issuing of what ws withdraw until now. It comes before "now" is said: a token that
// is not stopped has told its date by then (see Dated).
func (v *Revoker) withhold(ws []withdrawal) (settle func(known bool)) {
	w := &withheld{}
	for _, x := range ws {
		if x.untilNow {
			w.subjects = append(w.subjects, x.Subject)
		}
	}
	if w.subjects == nil {
		return func(bool) {}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changing = append(v.changing, w)
	v.publish()
	return func(known bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if known {
			v.changing = slices.DeleteFunc(v.changing, func(x *withheld) bool { return x == w })
			v.publish()
			return
		}
		w.ended = v.config.Now()
	}
}

// publish makes what changing says known to those who issue. The caller holds mu.
func (v *Revoker) publish() {
	var all token.Found
	for _, w := range v.changing {
		for _, s := range w.subjects {
			all = append(all, openEnded(s))
		}
	}
	if all == nil {
		v.withheld.Store(nil)
		return
	}
	v.withheld.Store(&all)
}

// Confirmed tells the Revoker that every change committed before at is applied here.
func (v *Revoker) Confirmed(at time.Time) {
	if v.withheld.Load() == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changing = slices.DeleteFunc(v.changing, func(w *withheld) bool { return !w.ended.IsZero() && w.ended.Before(at) })
	v.publish()
}

// withholds reports whether a change is being made that will withdraw the token.
func (v *Revoker) withholds(c *token.Claims, kid string) bool {
	all := v.withheld.Load()
	if all == nil {
		return false
	}
	_, void := token.Void(c, kid, *all)
	return void
}
