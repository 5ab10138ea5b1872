package authz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// Defaults of Config.
const (
	DefaultClientCache  = 10_000
	DefaultStoreOutage  = 5 * time.Minute
	DefaultClientRate   = 10_000
	DefaultFailures     = 30
	DefaultUnknown      = 300
	DefaultSigningQueue = 1_024
	DefaultAlgorithm    = jose.ES256
)

// retryAfter is what a caller is told when nothing better is known.
const retryAfter = time.Second

// Signers gives the key that signs at an instant.
type Signers interface {
	// Signer returns the key of the algorithm that signs at now, without I/O. It never answers with
	// a key of another algorithm. An error means that there is none now: 503. One of the signer itself,
	// which for a key in memory never happens, is a fault: 500.
	Signer(alg jose.Algorithm, now time.Time) (*jose.Signer, error)
}

// Config is what a Server needs. The numbers have defaults, named Default…, that apply to no field
// by themselves: zero means off where a comment says so, and is refused elsewhere.
type Config struct {
	Issuer    string      // the issuer identifier, exactly as tokens and metadata say it
	Pepper    keys.Secret // keys the digests of client secrets
	Clients   Clients
	Resources Resources
	Keys      Signers

	// Algorithm is that of tokens for the management API, and of introspection answers for whoever has none
	// of its own. Empty means DefaultAlgorithm.
	Algorithm jose.Algorithm

	// PublicKey returns the server's own published key of that identifier, without I/O. An error that
	// wraps jose.ErrUnknownKey means that there is none; any other, that it cannot be said now.
	PublicKey   func(kid string) (*jose.PublicKey, error)
	Revocations Revocations  // what introspection reads
	Index       *token.Index // what issuing asks
	Revoker     *Revoker

	ClientCache  int           // clients kept in memory; as many resources
	StoreOutage  time.Duration // how long cached records serve without contact with the store
	ClientRate   float64       // tokens and revocations per second and client; 0 = no limit
	Failures     float64       // failed authentications per minute, client and address, before 429; 0 = no limit
	Unknown      float64       // tokens without our signature per minute and caller that are looked into, before 429; 0 = no limit
	SigningQueue int           // how many requests may wait for a signature before 503

	Now func() time.Time

	// CaughtUp returns once everything is known here that was committed before the call. It is asked before a
	// key counts as unknown; nil when nobody else uses the store. It bounds its own time.
	CaughtUp func(ctx context.Context) error

	// Clock is that of a store which other servers use, too; nil when nobody else does. Tokens are dated by
	// Now, and judged by Clock, so that all servers agree. While Now is off from it there are no tokens.
	Clock SharedClock
}

func (c Config) validate() error {
	var errs []error
	need := func(ok bool, field string) {
		if !ok {
			errs = append(errs, fmt.Errorf("authz: Config.%s is missing or out of range", field))
		}
	}
	need(c.Issuer != "", "Issuer")
	need(c.Pepper != keys.Secret{}, "Pepper")
	need(c.Clients != nil, "Clients")
	need(c.Resources != nil, "Resources")
	need(c.Keys != nil, "Keys")
	need(c.Algorithm == "" || canonical(c.Algorithm), "Algorithm")
	need(c.PublicKey != nil, "PublicKey")
	need(c.Revocations != nil, "Revocations")
	need(c.Index != nil, "Index")
	need(c.Revoker != nil, "Revoker")
	need(c.ClientCache > 0, "ClientCache")
	need(c.StoreOutage > 0, "StoreOutage")
	need(c.ClientRate >= 0, "ClientRate")
	need(c.Failures >= 0, "Failures")
	need(c.Unknown >= 0, "Unknown")
	need(c.SigningQueue >= 0, "SigningQueue")
	need(c.Now != nil, "Now")
	return errors.Join(errs...)
}

// canonical reports whether a is the one name of an algorithm.
func canonical(a jose.Algorithm) bool {
	parsed, err := jose.ParseAlgorithm(string(a))
	return err == nil && parsed == a
}

// common returns the clock that all servers of the store agree on.
func (c Config) common() func() time.Time {
	if c.Clock != nil {
		return c.Clock.Now
	}
	return c.Now
}

// Server decides: who asks, what they may have, and what the token says. It knows nothing of HTTP
// and nothing of how records are stored. It is safe for concurrent use.
type Server struct {
	authenticator authenticator
	policy        policy
	rate          *limiters[ClientID]
	unknown       *limiters[ClientID]
	own           *ownTokens
	uptodate      *uptodate
	revoking      *turns // what clients revoke
	mint          *mint
	core          core
	fresh         *freshness
}

// NewServer returns a Server. Until the first ConfirmedAt nothing is answered from its cache.
func NewServer(c Config) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	fresh := &freshness{outage: c.StoreOutage, now: c.common()}
	clients, err := newCache(c.ClientCache, fresh, c.Clients.Client)
	if err != nil {
		return nil, err
	}
	resources, err := newCache(c.ClientCache, fresh, c.Resources.Resource)
	if err != nil {
		return nil, err
	}
	failures, err := newLimiters[failureKey](c.Failures/60, max(1, int(c.Failures)), c.ClientCache, c.Now)
	if err != nil {
		return nil, err
	}
	perClient, err := newLimiters[ClientID](c.ClientRate, max(1, int(c.ClientRate)), c.ClientCache, c.Now)
	if err != nil {
		return nil, err
	}
	unknown, err := newLimiters[ClientID](c.Unknown/60, max(1, int(c.Unknown)), c.ClientCache, c.Now)
	if err != nil {
		return nil, err
	}
	own, err := newOwnTokens(c)
	if err != nil {
		return nil, err
	}
	builtIn := BuiltInResource(c.Issuer, cmp.Or(c.Algorithm, DefaultAlgorithm))
	mint := &mint{
		issuer: c.Issuer, keys: c.Keys, queue: newTurns(2*runtime.GOMAXPROCS(0), c.SigningQueue),
		index: c.Index, revoker: c.Revoker, fresh: fresh, now: c.Now, clock: c.Clock,
	}
	return &Server{
		authenticator: authenticator{
			hash:     newHasher(c.Pepper),
			clients:  clients,
			store:    c.Clients,
			failures: failures,
			now:      c.Now,
		},
		policy:  policy{resources: resources, admin: builtIn, now: c.Now},
		rate:    perClient,
		unknown: unknown,
		own:     own,
		mint:    mint,
		core:    newCore(mint, own, c.Revoker),
		fresh:   fresh,

		uptodate: newUptodate(c.CaughtUp),
		revoking: newTurns(parallelRevocations, queuedRevocations),
	}, nil
}

// Token answers a token request. The error is an *Error, a *ThrottledError, an *UnavailableError or
// what ctx ended with; anything else is a fault.
func (s *Server) Token(ctx context.Context, r Request) (Issued, error) {
	if err := s.mint.clockOff(""); err != nil { // first: what it says of secrets is not true either
		return Issued{}, err
	}
	var client ClientID
	for range maxAttempts {
		records := s.fresh.changes() // before any of them is read
		who, err := s.authenticator.authenticate(ctx, r.Client, r.Address)
		if err != nil {
			return Issued{}, err
		}
		if client == "" { // once for each request
			client = who.client.ID
			if after, ok := s.rate.take(client); !ok {
				return Issued{}, &ThrottledError{Cause: CauseRateLimited, Client: client, RetryAfter: after}
			}
		}
		decision, err := s.policy.decide(ctx, who, r)
		if err != nil {
			return Issued{}, err
		}
		issued, err := s.issue(ctx, decision, records)
		if !errors.Is(err, errOutdated) {
			return issued, err
		}
	}
	return Issued{}, &UnavailableError{Cause: CauseBornVoid, Client: client, RetryAfter: retryAfter, Err: errOutdated}
}

// errOutdated says that a record was dropped after a token was decided and before it was dated. What
// was decided may be what a revocation has just withdrawn: it must not be dated after that, but be
// decided, and its client authenticated, again.
var errOutdated = errors.New("authz: records changed while a token was decided")

// issue turns a Decision into a token: nothing is decided any more. The records are the state of
// freshness.changes before those were read that the Decision was made from.
func (s *Server) issue(ctx context.Context, d Decision, records uint64) (Issued, error) {
	i := &issuance{decision: d, records: records}
	access, err := s.core.generate(ctx, i)
	if err != nil {
		return Issued{}, err
	}
	return Issued{
		AccessToken: access,
		TokenType:   "Bearer",
		ExpiresIn:   d.Lifetime,
		Scope:       d.Scope.String(),
		Client:      d.Client,
		Credential:  d.Credential,
		JTI:         i.jti,
		KeyID:       i.keyID,
	}, nil
}

// ClientChanged makes the server forget what it holds of a client, and reports whether it held anything.
// What it loads afterwards is at least as new as this call.
func (s *Server) ClientChanged(id ClientID) (held bool) { return s.authenticator.clients.drop(id) }

// ResourceChanged is ClientChanged for a resource.
func (s *Server) ResourceChanged(id ResourceID) (held bool) { return s.policy.resources.drop(id) }

// AllChanged makes the server forget every record that it holds.
func (s *Server) AllChanged() {
	s.authenticator.clients.clear()
	s.policy.resources.clear()
}

// ConfirmedAt tells the server that every change committed before at, which Config.Clock showed if there is
// one, has been reported to it.
func (s *Server) ConfirmedAt(at time.Time) {
	s.fresh.confirm(at)
	s.mint.revoker.Confirmed(at)
}
