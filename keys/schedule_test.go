package keys

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

const day = 24 * time.Hour

// monthly rotates by itself.
func monthly(c *Config) { c.Period = DefaultPeriod }

func TestROT06_ByScheduleOnceWhateverTheNodes(t *testing.T) {
	w := newWorld(t, monthly)
	first, second := w.kid(StateActive), w.kid(StateNext)
	other := w.node(monthly)

	w.after(DefaultPeriod - DefaultStoreOutage - DefaultRefreshInterval - time.Second)
	if got := w.kid(StateActive); got != first || slices.Contains(w.store.actions(), ActionRotate) {
		t.Fatalf("rotated before it was due: %v", w.store.actions())
	}
	// Stamped ahead: a node that is cut off when the turn comes has it already.
	w.after(time.Second)
	due := start.Add(DefaultPeriod)
	if k := w.store.ring(jose.ES256).Keys[1]; k.KeyID != second || !k.SignFrom.Equal(due) {
		t.Fatalf("stamped %+v, want %q at %s", k, second, due)
	}
	for range 3 { // many nodes, many times: one rotation
		if err := other.Step(bg, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		w.after(DefaultRefreshInterval)
	}
	w.store.readErr = errCutOff
	w.clock.Advance(due.Sub(w.clock.Now()) - time.Second)
	if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != first {
		t.Errorf("a second before the turn %q signs, want %q", got, first)
	}
	w.clock.Advance(time.Second)
	for _, node := range []*Ring{w.Ring, other} {
		if got := signing(node, jose.ES256, w.clock.Now()); got != second {
			t.Errorf("cut off at the turn, %q signs, want %q", got, second)
		}
	}
	w.store.readErr = nil
	w.after(DefaultRefreshInterval)
	if n := count(w.store.actions(), ActionRotate); n != 1 {
		t.Errorf("%d rotations, want 1: %v", n, w.store.actions())
	}
	e := w.store.entries[slices.IndexFunc(w.store.actions(), func(a string) bool { return a == ActionRotate })]
	if e.Actor.String() != "system:keys" || e.Reason != "the period of 720h0m0s is over" {
		t.Errorf("audit entry of %s for %q", e.Actor, e.Reason)
	}
	w.after(DefaultPeriod)
	if n := count(w.store.actions(), ActionRotate); n != 2 {
		t.Errorf("%d rotations after two periods, want 2", n)
	}
}

func TestROT06_AMissedTurnIsDoneAtOnceAndIsAnAlarm(t *testing.T) {
	w := newWorld(t, monthly)
	second := w.kid(StateNext)
	// Nobody reaches the store for a day longer than the period.
	w.clock.Advance(DefaultPeriod)
	if got := w.Overdue(); len(got) != 0 {
		t.Errorf("an alarm within the time that nodes have for it: %+v", got)
	}
	w.clock.Advance(day)
	late := w.Overdue()
	if len(late) != 1 || late[0].KeyID != second || late[0].State != StateActive || !late[0].At.Equal(start.Add(DefaultPeriod)) || !late[0].Overdue {
		t.Fatalf("overdue: %+v, want the turn of %q", late, second)
	}
	if plan := w.Plan(); len(plan) == 0 || plan[0] != late[0] {
		t.Errorf("the plan does not begin with what is overdue: %+v", plan)
	}
	w.step()
	if got := w.kid(StateActive); got != second {
		t.Errorf("%q signs, want %q", got, second)
	}
	if got := w.Overdue(); len(got) != 0 {
		t.Errorf("still overdue: %+v", got)
	}
	e := w.store.entries[slices.IndexFunc(w.store.actions(), func(a string) bool { return a == ActionRotate })]
	if e.Reason != "the period of 720h0m0s is over, since 24h0m0s" {
		t.Errorf("audit entry for %q", e.Reason)
	}
}

func TestROT06_OtherMissedStepsAreAlarmsToo(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	first := w.kid(StateActive)
	w.rotate()
	w.store.tamper(jose.ES256, func(r *RingRecord) { r.Keys = r.Keys[:2] }) // the next key was never made
	if err := w.Reload(bg); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if late := w.Overdue(); len(late) != 1 || late[0].State != StateNext || late[0].KeyID != "" {
		t.Errorf("overdue: %+v, want a next key", late)
	}
	w.step()
	w.clock.Advance(2 * time.Hour)
	if late := w.Overdue(); len(late) != 1 || late[0].State != StateWithdrawn || late[0].KeyID != first {
		t.Errorf("overdue: %+v, want the end of %q", late, first)
	}
	w.step()
	if late := w.Overdue(); len(late) != 0 {
		t.Errorf("overdue: %+v, want nothing", late)
	}
}

// A turn that somebody with a wrong clock stamped for a time far ahead is no turn.
func TestROT06_ATurnFarAheadIsAnAlarm(t *testing.T) {
	w := newWorld(t, monthly)
	wrong := w.node(monthly, func(c *Config) { c.Now = func() time.Time { return w.clock.Now().Add(400 * day) } })
	if err := wrong.Step(bg, w.clock.Now().Add(400*day)); err != nil {
		t.Fatal(err)
	}
	w.after(DefaultPeriod + time.Hour)
	if late := w.Overdue(); len(late) != 1 || late[0].State != StateActive || !late[0].At.Equal(start.Add(DefaultPeriod)) {
		t.Errorf("overdue: %+v, want the turn that does not take place: %+v", late, w.List())
	}
}

func TestROT06_APeriodOfItsOwn(t *testing.T) {
	w := newWorld(t, monthly, func(c *Config) {
		c.Algorithms = uses(jose.Ed25519, jose.PS256)
		c.Periods = map[jose.Algorithm]time.Duration{jose.Ed25519: 2 * day, jose.PS256: 0}
	})
	before := map[jose.Algorithm]string{}
	for _, alg := range []jose.Algorithm{jose.ES256, jose.Ed25519, jose.PS256} {
		before[alg] = signing(w.Ring, alg, w.clock.Now())
	}
	turned := func() (list []jose.Algorithm) {
		for _, alg := range []jose.Algorithm{jose.ES256, jose.Ed25519, jose.PS256} {
			if signing(w.Ring, alg, w.clock.Now()) != before[alg] {
				list = append(list, alg)
			}
		}
		return list
	}
	w.after(2 * day)
	if got := turned(); !slices.Equal(got, []jose.Algorithm{jose.Ed25519}) {
		t.Errorf("after two days: %v, want Ed25519", got)
	}
	w.after(400 * day)
	if got := turned(); !slices.Equal(got, []jose.Algorithm{jose.ES256, jose.Ed25519}) {
		t.Errorf("after a year: %v, want ES256 and Ed25519; PS256 rotates by hand", got)
	}
}

// What a person does counts: the next turn is a period after theirs, and they are not told of two.
func TestROT06_ByHandMeanwhile(t *testing.T) {
	w := newWorld(t, monthly)
	w.after(10 * day)
	by := w.rotate()
	w.after(DefaultPeriod - day)
	if got := w.kid(StateActive); got != by.KeyID {
		t.Errorf("rotated %s after a rotation by hand", DefaultPeriod-day)
	}
	w.after(day)
	if got := w.kid(StateActive); got == by.KeyID {
		t.Error("not rotated a period after the rotation by hand")
	}
}

func TestROT06_RotateWhileTheScheduledTurnIsStamped(t *testing.T) {
	w := newWorld(t, monthly)
	w.after(DefaultPeriod - time.Minute)
	r := w.rotate()
	if !r.SignFrom.Equal(start.Add(DefaultPeriod)) || count(w.store.actions(), ActionRotate) != 1 {
		t.Errorf("%+v, %v: want the turn that is stamped", r, w.store.actions())
	}
}

// A JWKS that is full makes the turn fail, loudly, and not the rest of the timeline.
func TestROT06_NoRoomIsAnErrorAndAnAlarm(t *testing.T) {
	w := newWorld(t, dev, func(c *Config) { c.Period = 2 * time.Hour })
	for {
		w.after(5 * time.Second)
		if _, err := w.Rotate(bg, jose.ES256, admin); errors.Is(err, ErrTooManyKeys) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	w.store.tamper(jose.ES256, func(r *RingRecord) {
		for i := range r.Keys { // nothing leaves soon
			if !r.Keys[i].WithdrawAt.IsZero() {
				r.Keys[i].WithdrawAt, r.Keys[i].Windows.RetireAfter = r.Keys[i].WithdrawAt.Add(day), r.Keys[i].Windows.RetireAfter+day
			}
		}
	})
	w.clock.Advance(3 * time.Hour)
	if err := w.Step(bg, w.clock.Now()); !errors.Is(err, ErrTooManyKeys) {
		t.Errorf("Step: %v, want ErrTooManyKeys", err)
	}
	if late := w.Overdue(); len(late) != 1 || late[0].State != StateActive {
		t.Errorf("overdue: %+v, want the turn", late)
	}
}

func TestROT06_PlanShowsTheSchedule(t *testing.T) {
	w := newWorld(t, monthly)
	first, second := w.kid(StateActive), w.kid(StateNext)
	due := start.Add(DefaultPeriod)
	want := []PlannedStep{
		{At: due, Algorithm: jose.ES256, KeyID: first, State: StateRetiring, Scheduled: true},
		{At: due, Algorithm: jose.ES256, KeyID: second, State: StateActive, Scheduled: true},
		{At: due.Add(w.windows.RetireAfter), Algorithm: jose.ES256, KeyID: first, State: StateWithdrawn, Scheduled: true},
	}
	if got := w.Plan(); !slices.Equal(got, want) {
		t.Errorf("planned %+v\nwant %+v", got, want)
	}
	w.after(DefaultPeriod - time.Minute) // stamped
	for i := range want {
		want[i].Scheduled = false
	}
	if got := w.Plan(); !slices.Equal(got, want) {
		t.Errorf("planned %+v\nwant %+v", got, want)
	}
}

func TestROT02_PeriodsThatWouldBreakTheWindows(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // "": it is fine
	}{
		{"by hand", func(c *Config) { c.Period = 0 }, ""},
		{"default", monthly, ""},
		{"least", func(c *Config) { c.Period = 24*time.Hour + 45*time.Second }, ""},
		{
			"shorter than the lead", func(c *Config) { c.Period = day },
			"at least PublishLead + RefreshInterval + Leeway, 24h0m0s + 15s + 30s = 24h0m45s",
		},
		{"negative", func(c *Config) { c.Period = -time.Second }, "cannot be negative"},
		{"of one", func(c *Config) { c.Periods = map[jose.Algorithm]time.Duration{jose.RS256: time.Hour} }, "is 1h0m0s for RS256"},
		{"of an unknown one", func(c *Config) { c.Periods = map[jose.Algorithm]time.Duration{"EdDSA": day} }, `names "EdDSA"`},
		{"too many keys", func(c *Config) { dev(c); c.Period = 5 * time.Minute }, "keys would be published"},
		{"not too many", func(c *Config) { dev(c); c.Period = 15 * time.Minute }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := newConfig(newClock(), newFakeRings())
			c.change(&config)
			err := config.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func count[T comparable](list []T, v T) int {
	n := 0
	for _, x := range list {
		if x == v {
			n++
		}
	}
	return n
}
