package verifier

import (
	"context"
	"fmt"
	"math"
	"time"
)

// knowledge is up to when the issuer vouched for what it had said. It is immutable.
type knowledge struct {
	asOf  time.Time // by the issuer's clock
	heard time.Time // by ours, when it vouched for that
}

// unknownAge is that of knowledge that is not there, or that a clock which was put back can say nothing of.
const unknownAge = time.Duration(math.MaxInt64)

// age returns how old the knowledge is, by the clock that makes it older: one that is behind must not make it
// fresh, and neither must a word that lay somewhere on its way. A clock that was put back would keep it fresh for
// as long; less than a second is for those who read the clock just before the word came.
func (k *knowledge) age(now time.Time) time.Duration {
	here := now.Sub(k.heard) // by the monotonic clock, if now is time.Now
	if here < -time.Second {
		return unknownAge
	}
	return max(now.Sub(k.asOf), here, 0)
}

// mode returns how calls are judged at now, and how old the knowledge is.
func (f *follower) mode(now time.Time) (FeedMode, time.Duration) {
	return f.modeBy(f.knowledge.Load(), now)
}

// modeBy is mode by knowledge that was looked at earlier.
func (f *follower) modeBy(k *knowledge, now time.Time) (FeedMode, time.Duration) {
	age := unknownAge
	if k != nil {
		if age = k.age(now); age <= f.feed.MaxAge {
			return ModeFollowing, age
		}
	}
	switch {
	case f.feed.WhenSilent == SilentIntrospect:
		return ModeIntrospects, age
	case f.feed.WhenSilent == SilentOpen && k != nil && age <= f.feed.MaxAge+f.feed.OpenFor:
		return ModeOpen, age
	}
	return ModeClosed, age
}

// admit reports whether the issuer must be asked about a token that the feed did not withdraw, brought by a call to
// which SilentOpen is open or not. An error says that it cannot be judged.
func (f *follower) admit(ctx context.Context, k *knowledge, now time.Time, open bool) (ask bool, err error) {
	mode, age := f.modeBy(k, now)
	if silent := mode != ModeFollowing; silent != f.silent.Load() && f.silent.CompareAndSwap(!silent, silent) {
		f.tell(ctx, mode, age)
	}
	switch {
	case mode == ModeFollowing:
		return false, nil
	case mode == ModeOpen && open:
		f.open.Add(1)
		return false, nil
	case mode == ModeIntrospects:
		f.asked.Add(1)
		return true, nil
	}
	f.closed.Add(1)
	return false, &unavailableError{"what was revoked is not known: " + ageText(age)}
}

// tell logs that the mode has changed, as the first call noticed.
func (f *follower) tell(ctx context.Context, mode FeedMode, age time.Duration) {
	if mode == ModeFollowing {
		f.log.InfoContext(ctx, "revocations followed again", "mode", string(mode), "age", ageText(age))
		return
	}
	f.mu.Lock()
	err := f.lastErr
	f.mu.Unlock()
	f.log.ErrorContext(ctx, "revocations not followed", "mode", string(mode), "age", ageText(age), "err", err)
}

func ageText(age time.Duration) string {
	if age == unknownAge {
		return "nothing was heard yet, or the clock was put back"
	}
	return fmt.Sprintf("last heard %v ago", age.Round(time.Millisecond))
}
