package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// ErrRegressed says that the store has lost a ring, or an earlier version of one has come back: it
// was emptied, restored, or has failed over without the last writes. A running node does not follow,
// and makes no keys: that would be a new beginning under the old name.
var ErrRegressed = errors.New("keys: the store went back in time")

// Ring is the signing keys of one issuer, one ring of keys for each algorithm in use. Its methods
// may be called concurrently.
type Ring struct {
	config  Config
	sealer  sealer
	windows Windows
	turn    chan struct{} // holds one token while somebody reads or changes the store
	current atomic.Pointer[snapshot]
	heard   atomic.Int64 // Unix nanoseconds: see ConfirmedAt
}

// NewRing returns a ring that knows no keys until [Ring.Step] or [Ring.Reload] has read them. It
// refuses a config that Validate refuses.
func NewRing(c Config) (*Ring, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Default == "" {
		c.Default = jose.ES256
	}
	if c.Provider == nil {
		c.Provider = Local()
	}
	if c.KEKID == "" {
		c.KEKID = c.KEKs[0].ID()
	}
	c.KEKs, c.Periods = slices.Clone(c.KEKs), maps.Clone(c.Periods)
	return &Ring{
		config:  c,
		sealer:  sealer{provider: c.Provider, keks: c.KEKs, kekID: c.KEKID, installation: c.Installation, wireEd25519: c.WireEd25519},
		windows: c.windows(),
		turn:    make(chan struct{}, 1),
	}, nil
}

// Signer returns what signs for alg at now, or ErrNoSigner, ErrStale, ErrNotReady. It takes no lock,
// does no I/O and allocates nothing. It follows the stamps: at its SignFrom a key takes over without
// anybody's doing.
func (r *Ring) Signer(alg jose.Algorithm, now time.Time) (*jose.Signer, error) {
	s, err := r.fresh(now)
	if err != nil {
		return nil, err
	}
	return s.signer(alg.Canonical(), now)
}

// JWKS returns the document of the keys that are published now, or ErrStale, ErrNotReady. It is
// never empty. It takes no lock, does no I/O and allocates nothing. Its MaxAge is Config.JWKSMaxAge, or less
// if the store has been silent for so long that a key of which this node has not heard may sign before that
// has passed.
func (r *Ring) JWKS() (Document, error) {
	now := r.config.Now()
	s, err := r.fresh(now)
	if err != nil {
		return Document{}, err
	}
	for i := range s.editions {
		if e := &s.editions[i]; e.until.IsZero() || now.Before(e.until) {
			d := e.document
			d.MaxAge = min(d.MaxAge, r.keepable(s, now))
			return d, nil
		}
	}
	return Document{}, ErrNotReady
}

// keepable returns for how long a document of now holds every key that may sign, in whole seconds: a key that
// was published when the store was last heard of signs its lead later, by a clock that may be ahead.
func (r *Ring) keepable(s *snapshot, now time.Time) time.Duration {
	silent := now.Sub(time.Unix(0, max(s.confirmed.UnixNano(), r.heard.Load())))
	return max(0, roundUp(r.config.PublishLead)-r.config.Leeway-silent).Truncate(time.Second)
}

// Lookup returns the published key with that identifier. The error wraps jose.ErrUnknownKey when
// there is none; otherwise it is ErrStale or ErrNotReady, and nothing is known.
func (r *Ring) Lookup(kid string) (*jose.PublicKey, error) {
	now := r.config.Now()
	s, err := r.fresh(now)
	if err != nil {
		return nil, err
	}
	if m := s.keys[kid]; m != nil && !m.key.withdrawn(now) {
		return m.public, nil
	}
	return nil, jose.ErrUnknownKey
}

// Knows reports whether the ring remembers a key of that identifier, in whatever state: withdrawn and
// revoked ones too. An error means that it cannot be said. It does no I/O.
func (r *Ring) Knows(kid string) (bool, error) {
	s, err := r.fresh(r.config.Now())
	if err != nil {
		return false, err
	}
	for _, ring := range s.rings {
		if ring.index(kid) >= 0 {
			return true, nil
		}
	}
	return false, nil
}

// ConfirmedAt tells the ring that whatever was committed before at was followed by a Reload: the
// follower of changes looks more often than Step does.
func (r *Ring) ConfirmedAt(at time.Time) { r.heard.Store(at.UnixNano()) }

// fresh returns the snapshot unless the store has been silent for too long.
func (r *Ring) fresh(now time.Time) (*snapshot, error) {
	s := r.current.Load()
	switch {
	case s == nil:
		return nil, ErrNotReady
	// By the wall clock on both sides: some callers' times have lost their monotonic reading, and after
	// a jump of the clock all of them must come to the same answer.
	case now.UnixNano()-max(s.confirmed.UnixNano(), r.heard.Load()) > int64(r.config.StoreOutage):
		return nil, ErrStale
	}
	return s, nil
}

// View is a key as an admin sees it: no key material.
type View struct {
	KeyID     string
	Algorithm jose.Algorithm
	State     State
	Imported  bool   // another server made it; its KeyID may be any text
	JWK       []byte // as the JWKS shows it, public members only; nil if it does not. Shared, not to be changed

	CreatedAt   time.Time
	PublishedAt time.Time
	SignFrom    time.Time // zero: not stamped
	WithdrawAt  time.Time // zero: not stamped
	RevokedAt   time.Time // zero: not revoked
}

// List returns every key that is remembered, withdrawn and revoked ones too, with its state now,
// ordered by algorithm and making. It is empty before the rings were read, and shows what was read last when
// the store does not answer: it is for people, not for decisions.
func (r *Ring) List() []View {
	s, now := r.current.Load(), r.config.Now()
	if s == nil {
		return nil
	}
	var views []View
	for _, alg := range slices.Sorted(maps.Keys(s.rings)) {
		ring := s.rings[alg]
		for i := range ring.Keys {
			views = append(views, s.view(ring, i, now))
		}
	}
	return views
}

// view shows the key at place i of a ring.
func (n *snapshot) view(r RingRecord, i int, now time.Time) View {
	k := r.Keys[i]
	v := View{
		KeyID: k.KeyID, Algorithm: k.Algorithm, State: r.state(i, now), Imported: k.Imported,
		CreatedAt: k.CreatedAt, PublishedAt: k.PublishedAt, SignFrom: k.SignFrom, WithdrawAt: k.WithdrawAt,
		RevokedAt: k.RevokedAt,
	}
	if k.revoked() && (v.WithdrawAt.IsZero() || v.WithdrawAt.After(k.RevokedAt)) {
		v.WithdrawAt = k.RevokedAt // that is when it left the JWKS
	}
	if m := n.keys[k.KeyID]; m != nil && !k.withdrawn(now) {
		v.JWK = m.jwk
	}
	return v
}

// Reload reads the rings and changes nothing. It is what the follower of changes calls when a ring
// was written. On an error the last good snapshot stays.
func (r *Ring) Reload(ctx context.Context) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	return r.load(ctx, r.config.Now())
}

// enter waits for the turn to use the store; who has it calls leave.
func (r *Ring) enter(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("keys: wait for another change: %w", ctx.Err())
	}
}

func (r *Ring) leave() { <-r.turn }

// load replaces the snapshot by what the store says. The caller has the turn.
func (r *Ring) load(ctx context.Context, now time.Time) error {
	list, err := r.config.Rings.Rings(ctx)
	if err != nil {
		return fmt.Errorf("keys: read rings: %w", err)
	}
	rings := make(map[jose.Algorithm]RingRecord, len(list))
	for _, rec := range list {
		if _, twice := rings[rec.Algorithm]; twice {
			return fmt.Errorf("keys: ring %s is stored twice", rec.Algorithm)
		}
		rings[rec.Algorithm] = rec
	}
	before := r.current.Load()
	if before != nil {
		for alg, held := range before.rings {
			rec, ok := rings[alg]
			if !ok || rec.Version < held.Version {
				return fmt.Errorf("%w: ring %s had version %d, now %d", ErrRegressed, alg, held.Version, rec.Version)
			}
			if kid, ok := rec.forgets(held); ok { // restored, and written to since
				return fmt.Errorf("%w: key %q was revoked, and is no longer", ErrRegressed, kid)
			}
		}
	}
	// confirmed is the time before the question, not after the answer: a slow store must not make
	// old knowledge look young.
	s, err := newSnapshot(ctx, r.sealer, rings, before, now, now, r.config.JWKSMaxAge)
	if err != nil {
		return err
	}
	r.current.Store(s)
	return nil
}

// held returns the ring as this node knows it, or an unstored one.
func (r *Ring) held(alg jose.Algorithm) RingRecord {
	if s := r.current.Load(); s != nil {
		if rec, ok := s.rings[alg]; ok {
			return rec
		}
	}
	return RingRecord{Algorithm: alg}
}

// adopt makes a stored record part of the snapshot, so that whoever asked for the change finds this
// node acting on it. The caller has the turn.
func (r *Ring) adopt(ctx context.Context, rec RingRecord, now time.Time) error {
	before := r.current.Load()
	rings := maps.Clone(before.rings)
	rings[rec.Algorithm] = rec
	s, err := newSnapshot(ctx, r.sealer, rings, before, now, before.confirmed, r.config.JWKSMaxAge)
	if err != nil {
		return err
	}
	r.current.Store(s)
	return nil
}

// system is the origin of what the timeline does by itself.
func system() audit.Origin { return audit.Origin{Actor: audit.System("keys")} }

// followUp is the origin of what the timeline does because of what by has just done: the identifier of the
// request ties the entries together. What each step is for, its own reason says; by's is for by's act.
func followUp(by audit.Origin) audit.Origin {
	o := system()
	o.RequestID = by.RequestID
	return o
}
