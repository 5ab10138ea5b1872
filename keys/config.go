package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// The parts of the windows that are constants, so that no setting of today can void a token of
// yesterday, or keep it alive.
const (
	MaxTokenLifetime  = time.Hour       // the longest life of any token
	MaxVerifierLeeway = 5 * time.Minute // the most that any verifier may allow a clock to be off
)

// The defaults of a server's settings.
const (
	DefaultJWKSMaxAge      = 5 * time.Minute
	DefaultRefreshInterval = 15 * time.Second
	DefaultPublishLead     = 24 * time.Hour
	DefaultStoreOutage     = 5 * time.Minute
	DefaultLeeway          = 30 * time.Second
	DefaultPeriod          = 30 * 24 * time.Hour
)

// Config is what a [Ring] is made of. Durations have no default here: a zero one is refused.
type Config struct {
	// Rings keeps the records.
	Rings Rings

	// KEKs are the key-encryption keys. All of them open; what seals is the one that has sealed so far,
	// and [Ring.Rewrap] moves everything to the first.
	KEKs []*jose.KEK

	// KEKID is the identifier of the one that sealed the installation record, which seals the first key of
	// all. Empty: the first of KEKs.
	KEKID string

	// Provider makes private keys and finds them again; nil means [Local].
	Provider Provider

	// Installation is the identifier of the installation record, to which sealed keys are bound.
	Installation string

	// JWKSMaxAge is how long verifiers may keep the JWKS document. Whole seconds, at least one.
	JWKSMaxAge time.Duration

	// RefreshInterval is the time between two calls of [Ring.Step]: how late a node may learn of
	// what another one stored.
	RefreshInterval time.Duration

	// PublishLead is how long a key is published before it signs; at least JWKSMaxAge +
	// RefreshInterval + Leeway, so that whoever verifies has met the key before its first token.
	PublishLead time.Duration

	// StoreOutage is how long a node acts on what it last read when the store does not answer. More
	// than RefreshInterval.
	StoreOutage time.Duration

	// Leeway is how far clocks may be apart; zero to MaxVerifierLeeway.
	Leeway time.Duration

	// FirstKeyAtOnce lets the first key of a ring sign as soon as it is published. It is for a store
	// that only this process uses; with several nodes the first key waits one RefreshInterval.
	FirstKeyAtOnce bool

	// WireEd25519 is how Ed25519 is announced in headers and in the JWKS: jose.EdDSA (the default
	// for the empty string) or jose.Ed25519. RFC 9864 deprecates the former, but validators in wide
	// use refuse the latter. It counts for keys that are made from then on.
	WireEd25519 jose.Algorithm

	// Period is how long a key signs before the next one takes over by itself (ROT-06); zero: only when
	// somebody says so. It is long enough for a next key to be made and published for its lead, and for
	// the JWKS to stay small.
	Period time.Duration

	// Periods are those of single algorithms, by canonical name, instead of Period.
	Periods map[jose.Algorithm]time.Duration

	// Default is an algorithm that is always in use; ES256 if it is empty.
	Default jose.Algorithm

	// Algorithms returns the algorithms that resources use, beside Default. Nil: no others.
	Algorithms func(context.Context) ([]jose.Algorithm, error)

	// Confirm returns once what the store holds is as durable as a change has to be. It is asked before a
	// change that was asked for again, and is there already, is acknowledged: the first attempt may have
	// been stored and then failed for that. Nil: what is there is durable.
	Confirm func(context.Context) error

	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// Log takes what happens to keys; nil means nowhere.
	Log *slog.Logger
}

// ConfigError says that a field of a Config cannot work.
type ConfigError struct {
	Field   string // the name of the field of Config
	Problem string // what is wrong with it and what it would have to be
}

func (e *ConfigError) Error() string { return "keys: " + e.Field + " " + e.Problem }

// Validate returns all that [NewRing] would refuse, joined; every part is a *ConfigError.
func (c Config) Validate() error {
	var errs []error
	refuse := func(when bool, field, format string, args ...any) {
		if when {
			errs = append(errs, &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)})
		}
	}
	refuse(c.Rings == nil, "Rings", "is missing")
	refuse(len(c.KEKs) == 0, "KEKs", "is empty: there is nothing to seal keys with")
	for i, k := range c.KEKs {
		refuse(k == nil, "KEKs", "has no key at place %d", i)
	}
	refuse(c.KEKID != "" && !knows(c.KEKs, c.KEKID), "KEKID", "is %s, and the keys given are %s", c.KEKID, kekIDs(c.KEKs))
	refuse(c.Installation == "", "Installation", "is missing")
	refuse(c.JWKSMaxAge < time.Second || c.JWKSMaxAge%time.Second != 0, "JWKSMaxAge",
		"is %s: it must be at least 1s and whole seconds (RFC 9111, Section 1.2.2)", c.JWKSMaxAge)
	refuse(c.RefreshInterval <= 0, "RefreshInterval", "is %s: it must be positive", c.RefreshInterval)
	refuse(c.Leeway < 0 || c.Leeway > MaxVerifierLeeway, "Leeway",
		"is %s: it must be between 0s and %s", c.Leeway, MaxVerifierLeeway)
	least := c.JWKSMaxAge + c.RefreshInterval + c.Leeway
	refuse(c.PublishLead < least, "PublishLead",
		"is %s: it must be at least JWKSMaxAge + RefreshInterval + Leeway, %s", c.PublishLead, least)
	refuse(c.StoreOutage <= c.RefreshInterval, "StoreOutage",
		"is %s: it must be more than RefreshInterval, %s", c.StoreOutage, c.RefreshInterval)
	refuse(c.WireEd25519 != "" && c.WireEd25519 != jose.EdDSA && c.WireEd25519 != jose.Ed25519, "WireEd25519",
		"is %q: it must be %s or %s", c.WireEd25519, jose.EdDSA, jose.Ed25519)
	if c.Default != "" {
		alg, err := jose.ParseAlgorithm(string(c.Default))
		refuse(err != nil || alg != c.Default, "Default", "is %q: not the canonical name of an algorithm", c.Default)
	}
	return errors.Join(append(errs, c.checkPeriods()...)...)
}

// StampedWindows returns what today's settings stamp on keys, to compare it with what is stamped on them.
func (c Config) StampedWindows() Windows { return c.windows() }

// windows returns what today's settings stamp on keys. A window is rounded up to whole seconds, as
// stamps are: rounding must not shorten it.
//
// A node that cannot reach the store signs with the old key for up to StoreOutage after its last
// look, which may have been just before the rotation; that token lives for MaxTokenLifetime, and its
// verifier may add its leeway (ROT-03). The clock of that node may be ahead by Leeway, and that of the node
// which stamped the turn behind by as much; and stamps are rounded.
func (c Config) windows() Windows {
	return Windows{
		PublishLead: roundUp(c.PublishLead),
		RetireAfter: roundUp(c.StoreOutage + c.RefreshInterval + MaxTokenLifetime + MaxVerifierLeeway + 2*c.Leeway + time.Second),
	}
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// floor and ceil make stamps: whole seconds, UTC, no monotonic reading.
func floor(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func ceil(t time.Time) time.Time {
	if f := floor(t); f.Before(t) {
		return f.Add(time.Second)
	}
	return floor(t)
}
