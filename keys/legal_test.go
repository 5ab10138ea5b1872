package keys

import (
	"errors"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// aging returns a ring in the middle of its life: withdrawn (buried), retiring, active, next.
func aging(now time.Time) RingRecord {
	w := Windows{PublishLead: time.Hour, RetireAfter: 2 * time.Hour}
	key := func(kid, sealed string, published, from, until time.Duration) Key {
		k := Key{
			KeyID: kid, Algorithm: jose.ES256, Public: []byte(kid), Sealed: sealed, Windows: w,
			CreatedAt: now.Add(published), PublishedAt: now.Add(published),
		}
		if from != 0 {
			k.SignFrom = now.Add(from)
		}
		if until != 0 {
			k.WithdrawAt = now.Add(until)
		}
		return k
	}
	return RingRecord{Algorithm: jose.ES256, Version: 7, Keys: []Key{
		key("buried", "", -12*time.Hour, -11*time.Hour, -3*time.Hour),
		key("retiring", "s", -8*time.Hour, -5*time.Hour, time.Hour),
		key("active", "s", -5*time.Hour, -time.Hour, 0),
		key("next", "s", -30*time.Minute, 0, 0),
	}}
}

const (
	buried = iota
	retiring
	active
	next
)

// legal is asked with records that no plan makes, so that it would catch a plan that did.
func TestROT01_IllegalStepsAreRefusedBeforeTheyAreStored(t *testing.T) {
	now := start
	stamp := func(r *RingRecord, from time.Duration) {
		r.Keys[next].SignFrom = now.Add(from)
		r.Keys[active].WithdrawAt = now.Add(from + 2*time.Hour)
	}
	for name, c := range map[string]struct {
		change func(*RingRecord)
		legal  bool
	}{
		"nothing":                        {func(*RingRecord) {}, true},
		"ROT-02 sign after the lead":     {func(r *RingRecord) { stamp(r, 30*time.Minute) }, true},
		"ROT-02 sign before the lead":    {func(r *RingRecord) { stamp(r, 30*time.Minute-time.Second) }, false},
		"ROT-02 sign in the past":        {func(r *RingRecord) { stamp(r, -time.Minute) }, false},
		"ROT-02 shorter stamped lead":    {func(r *RingRecord) { stamp(r, 30*time.Minute); r.Keys[next].Windows.PublishLead-- }, false},
		"ROT-02 longer window":           {func(r *RingRecord) { r.Keys[next].Windows.PublishLead++ }, true},
		"ROT-02 published earlier":       {func(r *RingRecord) { r.Keys[next].PublishedAt = now.Add(-time.Hour) }, false},
		"ROT-03 withdraw too soon":       {func(r *RingRecord) { stamp(r, 30*time.Minute); r.Keys[active].WithdrawAt = now.Add(time.Hour) }, false},
		"ROT-03 withdraw unsucceeded":    {func(r *RingRecord) { r.Keys[active].WithdrawAt = now.Add(24 * time.Hour) }, false},
		"ROT-03 withdraw active at once": {func(r *RingRecord) { r.Keys[active].WithdrawAt = now }, false},
		"ROT-03 retiring sooner":         {func(r *RingRecord) { r.Keys[retiring].WithdrawAt = now.Add(59 * time.Minute) }, false},
		"ROT-03 retiring later":          {func(r *RingRecord) { r.Keys[retiring].WithdrawAt = now.Add(2 * time.Hour) }, true},
		"ROT-03 window longer, end not":  {func(r *RingRecord) { r.Keys[retiring].Windows.RetireAfter += 7 * time.Hour }, false},
		"ROT-03 retiring for ever":       {func(r *RingRecord) { r.Keys[retiring].WithdrawAt = time.Time{} }, false},
		"ROT-04 retiring signs again":    {func(r *RingRecord) { r.Keys[retiring].SignFrom = now }, false},
		"ROT-04 active starts later":     {func(r *RingRecord) { r.Keys[active].SignFrom = now.Add(time.Hour) }, false},
		"ROT-04 active never signs":      {func(r *RingRecord) { r.Keys[active].SignFrom = time.Time{} }, false},
		"ROT-04 two at one second":       {func(r *RingRecord) { r.Keys[next].SignFrom = r.Keys[active].SignFrom }, false},
		"ROT-12 next withdrawn":          {func(r *RingRecord) { r.Keys[next].WithdrawAt, r.Keys[next].Sealed = now, "" }, true},
		"ROT-12 next withdrawn later":    {func(r *RingRecord) { r.Keys[next].WithdrawAt = now.Add(time.Hour) }, false},
		"buried forgotten":               {func(r *RingRecord) { r.Keys = r.Keys[1:] }, true},
		"retiring forgotten":             {func(r *RingRecord) { r.Keys = append(r.Keys[:1:1], r.Keys[2:]...) }, false},
		"buried comes back":              {func(r *RingRecord) { r.Keys[buried].WithdrawAt = now.Add(time.Hour) }, false},
		"buried is dug out":              {func(r *RingRecord) { r.Keys[buried].Sealed = "s" }, false},
		"retiring buried early":          {func(r *RingRecord) { r.Keys[retiring].Sealed = "" }, false},
		"next buried":                    {func(r *RingRecord) { r.Keys[next].Sealed = "" }, false},
		"another public key (JWK-04)":    {func(r *RingRecord) { r.Keys[next].Public = []byte("x") }, false},
		"another algorithm":              {func(r *RingRecord) { r.Keys[next].Algorithm = jose.RS256 }, false},
		"kid twice (JWK-04)":             {func(r *RingRecord) { r.Keys[next].KeyID = "active" }, false},
		"ring of no algorithm":           {func(r *RingRecord) { r.Algorithm = jose.EdDSA }, false},
		"a new key":                      {func(r *RingRecord) { r.Keys = append(r.Keys, newborn(now)) }, true},
		"a new key that signs":           {func(r *RingRecord) { k := newborn(now); k.SignFrom = now; r.Keys = append(r.Keys, k) }, false},
		"a new key that is withdrawn":    {func(r *RingRecord) { k := newborn(now); k.WithdrawAt = now; r.Keys = append(r.Keys, k) }, false},
		"a new key without publication":  {func(r *RingRecord) { k := newborn(now); k.PublishedAt = time.Time{}; r.Keys = append(r.Keys, k) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			from := aging(now)
			to := from.clone()
			c.change(&to)
			err := legal(from, to, now)
			if c.legal != (err == nil) {
				t.Errorf("error %v, want legal %t", err, c.legal)
			}
		})
	}
}

// An emergency may cut the lead short, and nothing else.
func TestROT07_IllegalRevocationsAreRefusedBeforeTheyAreStored(t *testing.T) {
	now := start
	revoke := func(r *RingRecord, i int) { r.Keys[i].RevokedAt, r.Keys[i].Sealed = now, "" }
	emergency := func(r *RingRecord) { revoke(r, active); r.Keys[next].SignFrom = now }
	starting := func(from time.Time) Key { k := newborn(now); k.SignFrom = from; return k }
	withoutNext := func(r *RingRecord) { r.Keys = r.Keys[:next] }
	revoked := func(r *RingRecord) { revoke(r, retiring); r.Keys[retiring].RevokedAt = now.Add(-time.Hour) }
	ahead := func(r *RingRecord) { // a node whose clock is ahead revoked next as it signed there
		revoke(r, next)
		r.Keys[next].SignFrom, r.Keys[active].WithdrawAt = now.Add(time.Second), now.Add(time.Second+2*time.Hour)
		r.Keys = append(r.Keys, starting(now.Add(time.Second)))
	}
	nothing := func(*RingRecord) {}
	for name, c := range map[string]struct {
		before, change func(*RingRecord)
		legal          bool
	}{
		"active, and next takes over":        {nothing, emergency, true},
		"active, and nobody takes over":      {nothing, func(r *RingRecord) { revoke(r, active) }, false},
		"active, and next takes over later":  {nothing, func(r *RingRecord) { emergency(r); r.Keys[next].SignFrom = now.Add(time.Minute) }, false},
		"active, and next took over":         {nothing, func(r *RingRecord) { emergency(r); r.Keys[next].SignFrom = now.Add(-time.Minute) }, false},
		"active, and retiring signs again":   {nothing, func(r *RingRecord) { revoke(r, active); r.Keys[retiring].SignFrom = now }, false},
		"active, and both at once":           {nothing, func(r *RingRecord) { emergency(r); r.Keys = append(r.Keys, starting(now)) }, false},
		"active, past the published next":    {nothing, func(r *RingRecord) { revoke(r, active); r.Keys = append(r.Keys, starting(now)) }, false},
		"active, without next: a fresh one":  {withoutNext, func(r *RingRecord) { revoke(r, active); r.Keys = append(r.Keys, starting(now)) }, true},
		"active, a fresh one of the past":    {withoutNext, func(r *RingRecord) { revoke(r, active); r.Keys = append(r.Keys, starting(now.Add(-time.Second))) }, false},
		"active, both are revoked":           {nothing, func(r *RingRecord) { revoke(r, active); revoke(r, next); r.Keys = append(r.Keys, starting(now)) }, true},
		"active, its start forgotten":        {nothing, func(r *RingRecord) { emergency(r); r.Keys[active].SignFrom = time.Time{} }, false},
		"retiring":                           {nothing, func(r *RingRecord) { revoke(r, retiring) }, true},
		"buried":                             {nothing, func(r *RingRecord) { revoke(r, buried) }, true},
		"next":                               {nothing, func(r *RingRecord) { revoke(r, next) }, true},
		"next, and a fresh one starts early": {nothing, func(r *RingRecord) { revoke(r, next); r.Keys = append(r.Keys, starting(now.Add(time.Minute))) }, false},
		"retiring, and next starts early":    {nothing, func(r *RingRecord) { revoke(r, retiring); r.Keys[next].SignFrom = now }, false},
		"private part kept":                  {nothing, func(r *RingRecord) { r.Keys[next].RevokedAt = now }, false},
		"revoked in the future":              {nothing, func(r *RingRecord) { revoke(r, next); r.Keys[next].RevokedAt = now.Add(time.Hour) }, false},
		"revoked in the past":                {nothing, func(r *RingRecord) { revoke(r, next); r.Keys[next].RevokedAt = now.Add(-time.Hour) }, false},
		"withdrawn at another time":          {nothing, func(r *RingRecord) { revoke(r, retiring); r.Keys[retiring].WithdrawAt = now }, false},
		"born revoked":                       {nothing, func(r *RingRecord) { k := newborn(now); k.RevokedAt, k.Sealed = now, ""; r.Keys = append(r.Keys, k) }, false},
		"revoked stays":                      {revoked, nothing, true},
		"revoked is forgotten":               {revoked, func(r *RingRecord) { r.Keys = append(r.Keys[:retiring:retiring], r.Keys[retiring+1:]...) }, false},
		"revoked is pardoned":                {revoked, func(r *RingRecord) { r.Keys[retiring].RevokedAt = time.Time{} }, false},
		"revoked is pardoned and dug out":    {revoked, func(r *RingRecord) { r.Keys[retiring].RevokedAt, r.Keys[retiring].Sealed = time.Time{}, "s" }, false},
		"revoked starts again":               {revoked, func(r *RingRecord) { r.Keys[retiring].SignFrom = now }, false},
		"revoked earlier than it was":        {revoked, func(r *RingRecord) { r.Keys[retiring].RevokedAt = now.Add(-2 * time.Hour) }, false},
		"a clock behind: before the revoked": {ahead, func(r *RingRecord) { revoke(r, active); r.Keys[next+1].SignFrom = now }, false},
		"a clock behind: with the revoked":   {ahead, func(r *RingRecord) { revoke(r, active) }, true},
		"a clock behind: nobody at the turn": {ahead, func(r *RingRecord) { revoke(r, next+1); r.Keys[next+1].SignFrom = time.Time{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			from := aging(now)
			c.before(&from)
			to := from.clone()
			c.change(&to)
			err := legal(from, to, now)
			if c.legal != (err == nil) {
				t.Errorf("error %v, want legal %t", err, c.legal)
			}
		})
	}
}

func newborn(now time.Time) Key {
	return Key{KeyID: "new", Algorithm: jose.ES256, Public: []byte("n"), Sealed: "s", CreatedAt: now, PublishedAt: now}
}

func TestROT01_FirstKeyMustSign(t *testing.T) {
	empty := RingRecord{Algorithm: jose.ES256}
	k := newborn(start)
	if err := legal(empty, RingRecord{Algorithm: jose.ES256, Keys: []Key{k}}, start); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("a first key that never signs: error %v", err)
	}
	k.SignFrom = start
	if err := legal(empty, RingRecord{Algorithm: jose.ES256, Keys: []Key{k}}, start); err != nil {
		t.Error(err)
	}
}

func TestROT12_CancellingAPendingTurn(t *testing.T) {
	from := aging(start)
	from.Keys[next].SignFrom = start.Add(time.Hour)
	from.Keys[active].WithdrawAt = start.Add(3 * time.Hour)
	if err := legal(from, from.discard(next, start).ring, start); err != nil {
		t.Errorf("discarding the pending key: %v", err)
	}
	to := from.clone()
	to.Keys[active].WithdrawAt = time.Time{}
	if err := legal(from, to, start); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("keeping the old key for ever beside its successor: error %v", err)
	}
	to = from.clone()
	to.Keys[next].SignFrom = time.Time{}
	if err := legal(from, to, start); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("cancelling a turn, with the old key's end still stamped: error %v", err)
	}
}

func TestStateFollowsFromStamps(t *testing.T) {
	r := aging(start)
	for kid, want := range map[string]State{
		"buried": StateWithdrawn, "retiring": StateRetiring, "active": StateActive, "next": StateNext, "nobody": "",
	} {
		if got := r.State(kid, start); got != want {
			t.Errorf("%s is %q, want %q", kid, got, want)
		}
	}
	if k, ok := r.Signing(start); !ok || k.KeyID != "active" {
		t.Errorf("%q signs", k.KeyID)
	}
	if k, ok := r.Signing(start.Add(-2 * time.Hour)); !ok || k.KeyID != "retiring" {
		t.Errorf("%q signed two hours ago", k.KeyID)
	}
	if k, ok := r.Signing(start.Add(-24 * time.Hour)); ok {
		t.Errorf("%q signed before the ring was made", k.KeyID)
	}
}
