package authz

import (
	"errors"
	"fmt"
	"time"
)

// MaxSkew is how far the clock of a server may be off from that of the store which it shares with others
// (ROT-09). It is a constant, for every one of them relies on it: what one of them withdraws until now is
// withdrawn until MaxSkew later, so that it covers what the others may have dated.
const MaxSkew = 5 * time.Second

// SharedClock is the clock of a store that several servers share, as one of them knows it. Its methods do
// no I/O, and may be called concurrently.
type SharedClock interface {
	// Now estimates what the clock shows now.
	Now() time.Time

	// Off returns how far this server's own clock is ahead of it, and whether that is certainly more than
	// MaxSkew, ahead or behind. What is not known leaves the answer as it was.
	Off() (ahead time.Duration, off bool)
}

// errClockOff says that this server's clock is not the others'.
var errClockOff = errors.New("authz: this server's clock is not that of the store which it shares with others")

// clockOff returns an *UnavailableError while this server must not act by its own clock: what it dated
// could not be withdrawn by the others, and it would take good secrets for expired, and expired ones for
// good.
func (m *mint) clockOff(client ClientID) error {
	if m.clock == nil {
		return nil
	}
	ahead, off := m.clock.Off()
	if !off {
		return nil
	}
	return &UnavailableError{
		Cause: CauseClockSkew, Client: client, RetryAfter: retryAfter,
		Err: fmt.Errorf("%w: it is ahead by %v", errClockOff, ahead.Round(time.Millisecond)),
	}
}

// latest is the latest date that a token may have: maxAhead after now, and no later than what the other
// servers' revocations of what was issued until now cover.
func (m *mint) latest() time.Time {
	latest := m.now().Add(maxAhead)
	if m.clock == nil {
		return latest
	}
	if most := m.clock.Now().Add(MaxSkew); most.Before(latest) {
		return most
	}
	return latest
}
