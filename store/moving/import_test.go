package moving_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

func target(f *fake) moving.Target {
	return moving.Target{
		Store: f, By: by.Actor, Skew: 6 * time.Second,
		Now: func(context.Context) (time.Time, error) { return at.Add(time.Hour + time.Millisecond), nil },
	}
}

func settled(context.Context, string) error { return nil }

// wantSame checks that a target holds what the source does, and nothing else but what an import adds.
func wantSame(t *testing.T, to *fake, from installed) {
	t.Helper()
	if !bytes.Equal(to.in, from.in) {
		t.Errorf("the installation record is\n%s, want\n%s", to.in, from.in)
	}
	all := token.Subject{Kind: token.RevokedAll}.String()
	for _, kind := range []store.Kind{store.KindClient, store.KindResource, store.KindRing, store.KindCredential, store.KindRevocation, store.KindAudit} {
		for _, s := range from.records[kind] {
			if s.Key == all {
				continue
			}
			if got := to.get(kind, s.Key); !bytes.Equal(got, s.Octets) {
				t.Errorf("%s %q is\n%s, want\n%s", kind, s.Key, got, s.Octets)
			}
		}
		n := len(to.records[kind])
		if kind == store.KindAudit {
			n--
		}
		if kind == store.KindRevocation && to.get(kind, all) != nil && from.get(kind, all) == nil {
			n--
		}
		if n != len(from.records[kind]) {
			t.Errorf("%d records of kind %s, want %d", n, kind, len(from.records[kind]))
		}
	}
}

func (s installed) all(t *testing.T, f *fake) (authz.Revocation, bool) {
	t.Helper()
	all := token.Subject{Kind: token.RevokedAll}.String()
	sealed := f.get(store.KindRevocation, all)
	if sealed == nil {
		return authz.Revocation{}, false
	}
	r, err := s.env.OpenRevocation(all, sealed)
	if err != nil {
		t.Fatal(err)
	}
	return r, true
}

func TestImport_EverythingArrives(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 1100)
	file := export(t, from.source(k))
	c := mustCheck(t, file, k)
	if c.End.Floor != 9 { // that of the latest revocation
		t.Errorf("floor %d", c.End.Floor)
	}
	to := newFake()
	done, err := c.Import(t.Context(), bytes.NewReader(file), target(to))
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, to, from)
	if got := done.Records[store.KindClient]; got != 1100 {
		t.Errorf("it says %d clients", got)
	}
	if to.commits < 3 {
		t.Errorf("%d commits: it was not put in parts", to.commits)
	}
	last := to.records[store.KindAudit][len(to.records[store.KindAudit])-1]
	e, err := store.DecodeEntry(last.Key, last.Octets)
	if err != nil || e.Action != moving.ActionImport || e.Target != issuer || e.Actor != by.Actor || !strings.Contains(string(e.After), `"client":1100`) {
		t.Errorf("the audit entry is %+v, %v", e, err)
	}
}

// What cannot be proven to be complete is revoked up to now, by the very commit that makes the installation.
func TestImport_RevokesWhatIsNotProven(t *testing.T) {
	t.Parallel()
	k := kek(1)
	want := at.Add(time.Hour + 7*time.Second) // now rounded up, and the skew
	for name, c := range map[string]struct {
		final    bool
		claim    func(context.Context, string) (bool, error)
		complete bool
		unproven moving.Unproven
	}{
		"not final":         {false, func(context.Context, string) (bool, error) { return true, nil }, false, moving.NotFinal},
		"no source":         {true, nil, false, moving.NoSource},
		"claimed":           {true, func(context.Context, string) (bool, error) { return false, nil }, false, moving.Claimed},
		"not closed for it": {true, func(context.Context, string) (bool, error) { return false, store.ErrNotClosed }, false, moving.NotClosed},
		"went back":         {true, func(context.Context, string) (bool, error) { return false, store.ErrSettled }, false, moving.WentBack},
		"proven":            {true, func(context.Context, string) (bool, error) { return true, nil }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := full(t, k, 2)
			src := from.source(k)
			src.Final = c.final
			file := export(t, src)
			to := newFake()
			to.deaf = true
			tt := target(to)
			tt.Claim = c.claim
			tt.Settle = settled
			done, err := mustCheck(t, file, k).Import(t.Context(), bytes.NewReader(file), tt)
			if err != nil || done.Complete != c.complete || done.Unproven != c.unproven {
				t.Fatalf("%+v, %v", done, err)
			}
			r, ok := from.all(t, to)
			if ok == c.complete {
				t.Fatalf("everything is revoked: %v", ok)
			}
			if ok && (!r.Before.Equal(want) || !r.Until.Equal(want.Add(token.RevocationKept)) || r.Version <= 9 || !done.RevokedBefore.Equal(want)) {
				t.Errorf("%+v, want before %v, and a version above all", r, want)
			}
			if r.Version > to.floor {
				t.Errorf("floor %d, and a revocation that ends has version %d", to.floor, r.Version)
			}
			wantSame(t, to, from)
		})
	}
}

// A revocation of everything that the export has is never made weaker.
func TestImport_KeepsTheRevocationOfEverything(t *testing.T) {
	t.Parallel()
	k := kek(1)
	all := token.Subject{Kind: token.RevokedAll}
	now := at.Add(time.Hour + 7*time.Second)
	for name, c := range map[string]struct{ before, until, want time.Time }{
		"open-ended": {},
		"later":      {at.Add(3 * time.Hour), at.Add(5 * time.Hour), at.Add(3 * time.Hour)},
		"earlier":    {at, at.Add(2 * time.Hour), now},
		"ended":      {at.Add(-5 * time.Hour), at.Add(-3 * time.Hour), now},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := full(t, k, 1)
			from.revocation(t, all, 20, c.before, c.until)
			src := from.source(k)
			src.Final = true
			file := export(t, src)
			for _, complete := range []bool{false, true} {
				to := newFake()
				tt := target(to)
				tt.Claim = func(context.Context, string) (bool, error) { return complete, nil }
				tt.Settle = settled
				if _, err := mustCheck(t, file, k).Import(t.Context(), bytes.NewReader(file), tt); err != nil {
					t.Fatal(err)
				}
				want := c.want
				if complete {
					want = c.before
				}
				if r, ok := from.all(t, to); !ok || !r.Before.Equal(want) || r.Version <= 20 {
					t.Errorf("complete %v: %+v, want before %v", complete, r, want)
				}
			}
		})
	}
}

// ISS-7: pulled out at each commit and run again, an import goes on behind what is there, and ends as if
// nothing had happened.
func TestImport_GoesOn(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 1100)
	file := export(t, from.source(k))
	c := mustCheck(t, file, k)
	for pull := 1; ; pull++ {
		to := newFake()
		to.pullAfter = pull
		if _, err := c.Import(t.Context(), bytes.NewReader(file), target(to)); err == nil {
			if pull < 3 {
				t.Fatalf("it never failed")
			}
			return
		} else if !errors.Is(err, errPulled) {
			t.Fatal(err)
		}
		if to.in != nil {
			t.Fatal("half an import is an installation")
		}
		was := to.done
		to.pullAfter = 0
		done, err := c.Import(t.Context(), bytes.NewReader(file), target(to))
		if err != nil || done.Resumed != was {
			t.Fatalf("pulled after %d: %+v, %v", pull, done, err)
		}
		wantSame(t, to, from)
	}
}

func TestImport_Occupied(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 1100)
	file, other := export(t, from.source(k)), export(t, from.source(k))
	import_ := func(file []byte, to *fake) error {
		_, err := mustCheck(t, file, k).Import(t.Context(), bytes.NewReader(file), target(to))
		return err
	}
	to := newFake()
	to.pullAfter = 2
	_ = import_(other, to)
	to.pullAfter = 0
	was := len(to.records[store.KindClient])
	if err := import_(file, to); !errors.Is(err, store.ErrOccupied) || len(to.records[store.KindClient]) != was {
		t.Errorf("where another import has begun: %v", err)
	}
	if err := import_(other, to); err != nil {
		t.Fatal(err)
	}
	if err := import_(other, to); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("where an installation is: %v", err)
	}
}

// Two imports of one export into two stores: one of them alone is complete.
func TestImport_ClaimsOnce(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 2)
	src := from.source(k)
	src.Final = true
	if err := from.CloseFor(t.Context(), src.ID); err != nil {
		t.Fatal(err)
	}
	file := export(t, src)
	results := make(chan bool, 2)
	for _, by := range []string{"here", "there"} {
		go func() {
			tt := claiming(target(newFake()), from, by)
			c, err := moving.Check(t.Context(), bytes.NewReader(file), []*jose.KEK{k}, "fake", nil)
			if err == nil {
				var done moving.Imported
				done, err = c.Import(t.Context(), bytes.NewReader(file), tt)
				results <- done.Complete
			}
			if err != nil {
				t.Error(err)
				results <- false
			}
		}()
	}
	if a, b := <-results, <-results; a == b {
		t.Errorf("complete: %v and %v", a, b)
	}
}

// The file is read twice: what was put in its place meanwhile does not get in.
func TestImport_Exchanged(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 1100)
	file, other := export(t, from.source(k)), export(t, from.source(k))
	c := mustCheck(t, file, k)
	swapped := slices.Concat(lines(file)...)
	swapped[len(swapped)/2] ^= 1
	for name, second := range map[string][]byte{"another export": other, "altered": swapped, "cut off": file[:len(file)/2]} {
		to := newFake()
		if _, err := c.Import(t.Context(), bytes.NewReader(second), target(to)); err == nil || to.in != nil || to.done > 0 && name == "another export" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who cannot ask the source does not know, and goes on when it can.
func TestImport_SourceAway(t *testing.T) {
	t.Parallel()
	k := kek(1)
	src := full(t, k, 2).source(k)
	src.Final = true
	file := export(t, src)
	to := newFake()
	tt := target(to)
	tt.Claim = func(context.Context, string) (bool, error) { return false, errPulled }
	c := mustCheck(t, file, k)
	if _, err := c.Import(t.Context(), bytes.NewReader(file), tt); !errors.Is(err, errPulled) || to.in != nil {
		t.Errorf("it is away: %v", err)
	}
	tt.Claim = func(context.Context, string) (bool, error) { return true, nil }
	tt.Settle = settled
	if done, err := c.Import(t.Context(), bytes.NewReader(file), tt); err != nil || !done.Complete {
		t.Errorf("it is back: %+v, %v", done, err)
	}
}

// A clock that is behind would leave tokens good that were issued before the export.
func TestImport_Clock(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 2)
	file := export(t, from.source(k))
	c := mustCheck(t, file, k)
	for behind, want := range map[time.Duration]error{7 * time.Second: moving.ErrClock, 6 * time.Second: nil} {
		to := newFake()
		tt := target(to)
		tt.Now = func(context.Context) (time.Time, error) { return at.Add(-behind), nil }
		done, err := c.Import(t.Context(), bytes.NewReader(file), tt)
		if !errors.Is(err, want) || (want != nil) != (to.commits == 0) {
			t.Errorf("%v behind: %v, want %v", behind, err, want)
		}
		if until := at.Add(6 * time.Second); want == nil && !done.RevokedBefore.Equal(until) {
			t.Errorf("%v behind: until %v, want %v", behind, done.RevokedBefore, until)
		}
	}
}

// A client that is made while a running store is exported may be missing; its credential is not to point to
// nobody. Nothing else is left out.
func TestExport_OfAStoreInUse(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 3)
	from.onDump = func(kind store.Kind, n int) {
		if kind == store.KindCredential && n == 1 {
			from.client(t, "late")
		}
		if kind == store.KindClient && n == 2 && from.get(store.KindClient, "intime") == nil {
			from.client(t, "intime")
		}
	}
	src := from.source(k)
	src.Changes = from.fake
	file := export(t, src)
	c := mustCheck(t, file, k)
	if got := fmt.Sprint(c.End.Changed); got != "[intime late]" {
		t.Errorf("changed meanwhile: %s", got)
	}
	to := newFake()
	if _, err := c.Import(t.Context(), bytes.NewReader(file), target(to)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"c-late": false, "c-intime": true, "c-old": true, "c-client-0002": true} {
		if got := to.get(store.KindCredential, key) != nil; got != want {
			t.Errorf("%s is there: %v, want %v", key, got, want)
		}
	}
	if to.get(store.KindClient, "intime") == nil || to.get(store.KindClient, "late") != nil {
		t.Error("the clients are not those of the dump")
	}
}

// What changes seldom must not change while a running store is exported: its parts would not fit together.
func TestExport_OfAStoreWhoseKeysChange(t *testing.T) {
	t.Parallel()
	for _, kind := range []store.Kind{store.KindRing, store.KindResource} {
		from := full(t, kek(1), 3)
		from.onDump = func(store.Kind, int) {
			from.onDump = nil
			from.changes = append(from.changes, store.Change{Kind: kind, ID: "x"})
		}
		src := from.source(kek(1))
		src.Changes = from.fake
		if _, err := moving.Export(t.Context(), &bytes.Buffer{}, src); !errors.Is(err, moving.ErrBusy) {
			t.Errorf("%s: got error %v, want ErrBusy", kind, err)
		}
	}
}

func TestExport_Refuses(t *testing.T) {
	t.Parallel()
	k := kek(1)
	run := func(s installed, keks ...*jose.KEK) error {
		src := s.source(k)
		src.KEKs = keks
		_, err := moving.Export(t.Context(), &bytes.Buffer{}, src)
		return err
	}
	damaged := full(t, k, 2)
	damaged.records[store.KindClient][1].Octets[60] ^= 1
	var record *store.RecordError
	if err := run(damaged, k); !errors.As(err, &record) || record.Key != "client-0001" {
		t.Errorf("a damaged record: %v", err)
	}
	if err := run(install(t, k, true), k); !errors.Is(err, moving.ErrDevelopment) {
		t.Errorf("one that --dev made: %v", err)
	}
	if err := run(full(t, k, 1), kek(2)); err == nil || !strings.Contains(err.Error(), k.ID()) {
		t.Errorf("another key: %v", err)
	}
	sealed := full(t, k, 1)
	sealed.ring(t, jose.RS256, jose.RS256, kek(3))
	if err := run(sealed, k); err == nil || !strings.Contains(err.Error(), kek(3).ID()) {
		t.Errorf("a signing key under another key: %v", err)
	}
	if err := run(installed{fake: newFake()}, k); err == nil {
		t.Error("nothing there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := moving.Export(ctx, &bytes.Buffer{}, full(t, k, 500).source(k)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func lines(file []byte) [][]byte { return bytes.SplitAfter(file, []byte("\n")) }
