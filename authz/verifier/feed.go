package verifier

import (
	"errors"
	"fmt"
	"time"
)

// Limits of following.
const (
	// DefaultMaxAge is how old the knowledge of revocations may become before the service is silent: the
	// issuer says every 2 s that nothing happened, so that three words in a row were not heard, and there
	// was time to ask for a fourth.
	DefaultMaxAge = 10 * time.Second
	MinMaxAge     = 5 * time.Second
	MaxMaxAge     = 5 * time.Minute

	// MaxOpenFor is the longest that SilentOpen may go on: no token lives longer.
	MaxOpenFor = time.Hour

	// DefaultMaxRevocations takes about 130 MiB, and as much again while a snapshot arrives and for some seconds
	// after; five times as much at worst, if servers come and go within that time.
	DefaultMaxRevocations = 2_000_000
)

// WhenSilent says what becomes of calls while it is not known what was revoked: nothing was heard of the
// issuer for MaxAge, or nothing yet at all. What is known to be revoked is refused in any case.
type WhenSilent string

// The choices. None is the default: New wants to be told.
const (
	// SilentClosed answers 503.
	SilentClosed WhenSilent = "closed"

	// SilentOpen lets tokens through for Feed.OpenFor more, and answers 503 after that; a service that has
	// just started, and knows nothing yet, answers 503 at once. Require answers 503 at once to requests that change
	// something, too, unless their Route says otherwise.
	SilentOpen WhenSilent = "open"

	// SilentIntrospect has the issuer asked about each token, as Config.Introspect says. Where that has no
	// answer, it is 503.
	SilentIntrospect WhenSilent = "introspect"
)

// Feed has the issuer's revocations followed: a stream tells the service of each one, so that a revoked token
// is refused within about a second, and no request leaves for a token. ClientID, Secret and WhenSilent are
// required.
type Feed struct {
	// ClientID and Secret are the service's own: of a client that serves Config.Audience.
	ClientID string
	Secret   Secret

	// WhenSilent is what happens when the issuer is not heard any more.
	WhenSilent WhenSilent

	// OpenFor is for SilentOpen alone, and required there: for how long beyond MaxAge; at most MaxOpenFor.
	OpenFor time.Duration

	// MaxAge is how old the knowledge may become: 0 means 10 s; from 5 s to 5 min. It is also how long a token
	// may work that is revoked while somebody holds up the stream unnoticed.
	MaxAge time.Duration

	// MaxRevocations bounds memory, at 65 to 120 bytes for each; 0 means 2,000,000. More than that cannot be
	// followed: the service is silent, and says so.
	MaxRevocations int

	pace *pace // nil but in tests
}

// Format implements fmt.Formatter, for every verb: see Introspection.
func (f Feed) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "{ClientID:%s Secret:%s WhenSilent:%s OpenFor:%v MaxAge:%v MaxRevocations:%d}",
		f.ClientID, hidden, string(f.WhenSilent), f.OpenFor, f.MaxAge, f.MaxRevocations)
}

// withDefaults returns f with its defaults, or everything that is wrong with c.Follow.
func (f Feed) withDefaults(c Config) (Feed, error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f.ClientID == "" || f.Secret == "" {
		wrong("no ClientID or no Secret")
	}
	switch f.WhenSilent {
	case SilentClosed, SilentOpen, SilentIntrospect:
	case "":
		wrong("WhenSilent must say what happens when the issuer is not heard any more")
	default:
		wrong("%q is no WhenSilent", string(f.WhenSilent))
	}
	if open := f.WhenSilent == SilentOpen; open && (f.OpenFor <= 0 || f.OpenFor > MaxOpenFor) {
		wrong("an OpenFor of %v is not between 0 and %v", f.OpenFor, MaxOpenFor)
	} else if !open && f.OpenFor != 0 {
		wrong("OpenFor is for SilentOpen alone")
	}
	if asks := f.WhenSilent == SilentIntrospect; asks && c.Introspect == nil {
		wrong("SilentIntrospect needs Config.Introspect")
	} else if !asks && c.Introspect != nil {
		wrong("Config.Introspect beside Follow is for SilentIntrospect alone")
	}
	if f.MaxAge != 0 && (f.MaxAge < MinMaxAge || f.MaxAge > MaxMaxAge) {
		wrong("a MaxAge of %v is not between %v and %v", f.MaxAge, MinMaxAge, MaxMaxAge)
	}
	if f.MaxRevocations < 0 {
		wrong("a MaxRevocations of %d is negative", f.MaxRevocations)
	}
	if c.Keys != nil {
		wrong("it needs keys that are fetched: what is revoked may be a key")
	}
	if err := errors.Join(errs...); err != nil {
		return Feed{}, fmt.Errorf("in Follow: %w", err)
	}
	if f.MaxAge == 0 {
		f.MaxAge = DefaultMaxAge
	}
	if f.MaxRevocations == 0 {
		f.MaxRevocations = DefaultMaxRevocations
	}
	if f.pace == nil {
		f.pace = &usualPace
	}
	return f, nil
}
