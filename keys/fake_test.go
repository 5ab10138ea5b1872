package keys

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

var (
	bg    = context.Background()
	admin = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "1000"}, RequestID: "r1"}
	start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// clock is a virtual clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// fakeRings is a store in memory that can be told to fail.
type fakeRings struct {
	mu      sync.Mutex
	rings   map[jose.Algorithm]RingRecord
	entries []audit.Entry
	reads   int
	writes  int

	readErr  error                  // of every Rings
	writeErr error                  // of every PutRing, which then stores nothing
	lostErr  error                  // of every PutRing, which has stored nevertheless
	before   func(RingRecord) error // called in PutRing before anything else, without the lock
}

func newFakeRings() *fakeRings { return &fakeRings{rings: map[jose.Algorithm]RingRecord{}} }

func copyRing(r RingRecord) RingRecord {
	r.Keys = slices.Clone(r.Keys)
	for i := range r.Keys {
		r.Keys[i].Public = slices.Clone(r.Keys[i].Public)
	}
	return r
}

func (f *fakeRings) Rings(ctx context.Context) ([]RingRecord, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if err := errors.Join(ctx.Err(), f.readErr); err != nil {
		return nil, err
	}
	var list []RingRecord
	for _, r := range f.rings { // in no particular order, indeed
		list = append(list, copyRing(r))
	}
	return list, nil
}

func (f *fakeRings) PutRing(ctx context.Context, r RingRecord, e audit.Entry) (RingRecord, error) {
	if f.before != nil {
		if err := f.before(r); err != nil {
			return RingRecord{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.writeErr); err != nil {
		return RingRecord{}, err
	}
	if f.rings[r.Algorithm].Version != r.Version {
		return RingRecord{}, ErrConflict
	}
	r = copyRing(r)
	r.Version++
	f.rings[r.Algorithm] = r
	f.entries = append(f.entries, e)
	f.writes++
	if f.lostErr != nil {
		return RingRecord{}, f.lostErr
	}
	return copyRing(r), nil
}

func (f *fakeRings) ring(alg jose.Algorithm) RingRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	return copyRing(f.rings[alg])
}

// tamper changes a stored ring as nobody should, under a new version.
func (f *fakeRings) tamper(alg jose.Algorithm, change func(*RingRecord)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := copyRing(f.rings[alg])
	change(&r)
	r.Version++
	f.rings[alg] = r
}

func (f *fakeRings) actions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, e := range f.entries {
		list = append(list, e.Action)
	}
	return list
}

func testKEK(n byte) *jose.KEK { return jose.NewKEK([32]byte{n, 1, 2, 3}) }

// newConfig returns a server's defaults on a virtual clock.
func newConfig(c *clock, s Rings) Config {
	return Config{
		Rings:           s,
		KEKs:            []*jose.KEK{testKEK(1)},
		Installation:    "installation-1",
		JWKSMaxAge:      DefaultJWKSMaxAge,
		RefreshInterval: DefaultRefreshInterval,
		PublishLead:     DefaultPublishLead,
		StoreOutage:     DefaultStoreOutage,
		Leeway:          DefaultLeeway,
		FirstKeyAtOnce:  true,
		Now:             c.Now,
		Log:             slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// world is one node on one store.
type world struct {
	*testing.T
	clock *clock
	store *fakeRings
	*Ring
}

// newWorld returns a world in which Step was called once.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{T: t, clock: newClock(), store: newFakeRings()}
	w.Ring = w.node(change...)
	w.step()
	return w
}

// node returns a further node on the same store, which has not read it yet.
func (w *world) node(change ...func(*Config)) *Ring {
	w.Helper()
	c := newConfig(w.clock, w.store)
	for _, f := range change {
		f(&c)
	}
	r, err := NewRing(c)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) step() {
	w.Helper()
	if err := w.Step(bg, w.clock.Now()); err != nil {
		w.Fatal(err)
	}
}

// after lets time pass and then steps.
func (w *world) after(d time.Duration) {
	w.Helper()
	w.clock.Advance(d)
	w.step()
}

func (w *world) rotate() Rotated {
	w.Helper()
	list, err := w.Rotate(bg, jose.ES256, admin)
	if err != nil {
		w.Fatal(err)
	}
	if len(list) != 1 {
		w.Fatalf("rotated %d rings, want 1", len(list))
	}
	return list[0]
}

// kid returns the one key in that state, failing unless there is exactly one.
func (w *world) kid(s State) string {
	w.Helper()
	kids := w.kids(s)
	if len(kids) != 1 {
		w.Fatalf("%d keys are %s, want 1: %+v", len(kids), s, w.List())
	}
	return kids[0]
}

func (w *world) kids(s State) []string {
	var kids []string
	for _, v := range w.List() {
		if v.State == s {
			kids = append(kids, v.KeyID)
		}
	}
	return kids
}

// signing returns the kid that signs for alg on a node now, or the empty string.
func signing(r *Ring, alg jose.Algorithm, now time.Time) string {
	s, err := r.Signer(alg, now)
	if err != nil {
		return ""
	}
	return s.KeyID()
}

// published returns the kids of a node's JWKS document, in order.
func published(t testing.TB, r *Ring) []string {
	t.Helper()
	set := fetch(t, r)
	var kids []string
	for _, k := range set.Keys() {
		kids = append(kids, k.KeyID())
	}
	return kids
}

func fetch(t testing.TB, r *Ring) *jose.Set {
	t.Helper()
	d, err := r.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.ParseSet(bytes.Clone(d.Body))
	if err != nil {
		t.Fatal(err)
	}
	if set.Skipped() != 0 || set.Len() == 0 {
		t.Fatalf("JWKS has %d usable and %d unusable keys", set.Len(), set.Skipped())
	}
	return set
}
