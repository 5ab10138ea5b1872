package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

// ErrToken is every refusal of a token. The error is a *token.Error, which has the reason for the log.
var ErrToken = token.ErrToken

// ErrUnavailable says that the token could not be judged: the issuer's keys cannot be had, or its word
// on whether the token was withdrawn.
var ErrUnavailable = remote.ErrUnavailable

// NoLeeway is the Leeway of a service that wants none.
const NoLeeway = token.NoLeeway

// Config says whose tokens are taken, and for what. Issuer and Audience are required. The zero value
// of every other field is the strict default; what weakens a check is called Insecure.
type Config struct {
	// Issuer is the authorization server's identifier, exactly as it appears in iss.
	Issuer string

	// Audience is this API's resource identifier; aud must contain it.
	Audience string

	// Scopes are the scopes that this API defines. They matter for tokens with several audiences
	// only: of such a token nothing but these counts, and nothing at all if there are none here, for
	// a scope may have been meant for another API (RFC 9068, Section 5).
	Scopes []string

	// Algorithms are those that tokens may be signed with; nil means ES256, ES384, Ed25519, PS256, RS256.
	// Whatever is listed, a key verifies the one algorithm that it is published for.
	Algorithms []jose.Algorithm

	// Leeway is how far clocks may differ: 0 means 30 s, NoLeeway means none, at most 5 min.
	Leeway time.Duration

	// Realm names this API in challenges; empty means Audience.
	Realm string

	// Keys are the issuer's keys, if they shall not be fetched: then there is no discovery, and a
	// withdrawn key verifies until the service is given others.
	Keys *jose.Set

	// Revoked, if set, is asked about every token that passed all other checks; what token.Void
	// withdraws by it is refused. It must be safe for concurrent use. If it has a method Loaded() bool,
	// as a token.Index has, and that is false, the token is not judged: ErrUnavailable.
	Revoked token.Known

	// Follow, if set, has the issuer's revocations followed, and what they withdraw is refused. It goes
	// together with Revoked.
	Follow *Feed

	// Introspect, if set, has the issuer asked about every token that passed all other checks. What
	// is not active is refused; without an answer the token is not judged: ErrUnavailable. Beside Follow it is
	// for SilentIntrospect alone, and then the issuer is asked only while its feed is silent.
	Introspect *Introspection

	// Remember is how many verified tokens are remembered, so that the same one costs about a microsecond
	// the next time; 0 means DefaultRemember, NoMemory none. Whether it has expired, whether its key is still
	// published, and what was revoked, are asked each time all the same.
	Remember int

	// HTTPClient fetches metadata and keys, and carries introspection and the feed; nil means clients of the
	// Verifier's own. Of one that is given, redirects, cookies and Timeout are not used for the latter two.
	HTTPClient *http.Client

	// KeepKeysFor is how long the last keys are good while the issuer cannot be reached; 0 means 24 h.
	KeepKeysFor time.Duration

	// StartUnready lets New return although the issuer cannot be reached, and does not let it wait for what was
	// revoked. Until all that is needed is there, Status is not ready, and every call is answered 503.
	StartUnready bool

	InsecureHTTP   bool // allows an issuer that is plain http: for development on one machine
	InsecureTypJWT bool // also takes tokens of type JWT: see token.Check

	// OnVerdict is told how each call was judged, for metrics: each Verify, and each request at a Require, once; of
	// Requires within each other, the inner ones tell what they refuse. The call waits for it, and calls come at
	// once from many goroutines. May be nil.
	OnVerdict func(Verdict)

	Now     func() time.Time   // nil means time.Now
	Log     *slog.Logger       // of refused tokens and failed fetches; nil means slog.Default()
	OnFetch func(remote.Fetch) // for metrics; may be nil

	// OnFeed is told each step of Follow, for metrics; one call at a time, and the feed waits for it; it must
	// not call Close. May be nil.
	OnFeed func(FeedReport)
}

// Verifier verifies the tokens of one issuer for one audience; a service with several issuers has
// one Verifier for each, so that no key of one can vouch for another. It is safe for concurrent use.
type Verifier struct {
	issuer     string
	checker    *token.Checker
	key        func(context.Context, jose.Header) (*jose.PublicKey, error)
	now        func() time.Time
	memory     *memory       // nil for none
	keys       *remote.Keys  // nil if they were given
	sources    []source      // of revocations, at most maxSources
	follow     *follower     // may be nil
	introspect *introspector // may be nil
	scopes     []string
	realm      string
	log        *slog.Logger
	onVerdict  func(Verdict) // may be nil
}

// New returns a Verifier after it has fetched the issuer's keys, found where to introspect if that is
// wanted, and learned what is revoked if that is to be followed; ctx bounds that and nothing later.
// Close it when it is no longer needed.
func New(ctx context.Context, c Config) (*Verifier, error) {
	v := &Verifier{issuer: c.Issuer, scopes: slices.Clone(c.Scopes), realm: c.Realm, log: c.Log, onVerdict: c.OnVerdict}
	if v.realm == "" {
		v.realm = c.Audience
	}
	if v.log == nil {
		v.log = slog.Default()
	}
	if v.now = c.Now; v.now == nil {
		v.now = time.Now
	}
	if c.Remember >= 0 {
		v.memory = newMemory(cmp.Or(c.Remember, DefaultRemember))
	}
	v.key = func(ctx context.Context, h jose.Header) (*jose.PublicKey, error) { return v.keys.Key(ctx, h) }
	if c.Keys != nil {
		v.key = func(_ context.Context, h jose.Header) (*jose.PublicKey, error) { return c.Keys.Find(h) }
	}
	var err error
	if v.checker, err = token.NewChecker(v.check(c)); err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	// RFC 6750, Section 3: what a challenge may hold, so that nothing has to be escaped later.
	if !challengeText(v.realm) {
		return nil, errors.New("verifier: the realm (or audience) has characters that a challenge cannot hold: set Realm")
	}
	for _, s := range v.scopes {
		if !scopeToken(s) {
			return nil, fmt.Errorf("verifier: Scopes: %q is not a scope", s)
		}
	}
	if c.Keys != nil && c.Keys.Len() == 0 {
		return nil, errors.New("verifier: Keys is empty")
	}
	if c.Revoked != nil {
		v.sources = append(v.sources, given(c.Revoked))
	}
	var feed Feed
	if c.Follow != nil {
		if feed, err = c.Follow.withDefaults(c); err != nil {
			return nil, fmt.Errorf("verifier: %w", err)
		}
	}
	if c.Introspect != nil {
		if v.introspect, err = newIntrospector(ctx, c); err != nil {
			return nil, fmt.Errorf("verifier: %w", err)
		}
	}
	if c.Keys != nil {
		return v, nil
	}
	v.keys, err = remote.Discover(ctx, remote.Config{
		Issuer: c.Issuer, InsecureHTTP: c.InsecureHTTP, Client: c.HTTPClient,
		KeepFor: c.KeepKeysFor, StartUnready: c.StartUnready,
		Now: c.Now, Log: c.Log, OnFetch: c.OnFetch,
	})
	if err != nil {
		v.Close()
		return nil, fmt.Errorf("verifier: %w", err)
	}
	if c.Follow == nil {
		return v, nil
	}
	v.follow = newFollower(c, feed, v.keys, v.now, v.log)
	v.sources = append(v.sources, v.follow.source())
	if err := v.follow.start(ctx, c.StartUnready); err != nil {
		v.Close()
		return nil, fmt.Errorf("verifier: %w", err)
	}
	return v, nil
}

// check translates c. The keys are looked up by v, which gets them later.
func (v *Verifier) check(c Config) token.Check {
	check := token.Check{
		Issuer: c.Issuer, Audience: c.Audience, Algorithms: c.Algorithms, Leeway: c.Leeway,
		InsecureTypJWT: c.InsecureTypJWT, Now: c.Now, Key: v.key,
	}
	if check.Algorithms == nil {
		check.Algorithms = []jose.Algorithm{jose.ES256, jose.ES384, jose.Ed25519, jose.PS256, jose.RS256}
	}
	return check
}

// Close stops fetching keys and following revocations, and waits until that is so. The Verifier still answers
// from the keys it has; what it knows to be revoked grows old, and then it is as silent as Follow says.
func (v *Verifier) Close() {
	if v.follow != nil {
		v.follow.close()
	}
	if v.keys != nil {
		v.keys.Close()
	}
	if v.introspect != nil {
		v.introspect.release()
	}
}

// Status says whether there are keys to verify with, for a readiness check. Keys that were given are
// always ready. A Verifier that follows revocations, and answers 503 because they are not known, is not.
func (v *Verifier) Status() remote.Status {
	if v.keys == nil {
		return remote.Status{Ready: true}
	}
	st := v.keys.Status()
	if v.follow != nil {
		mode, _ := v.follow.mode(v.now())
		st.Ready = st.Ready && mode != ModeClosed
	}
	return st
}

// Verify checks an access token and returns what it says. An error that is ErrToken refuses the
// token and may be shown to its bearer; any other, ErrUnavailable as a rule, means that the token
// could not be judged: answer 503, never 401. ctx ends a wait for keys, and a question to the issuer.
//
// It knows nothing of the call that brought the token: where Feed.WhenSilent is SilentOpen it is open to all of them,
// unlike Require.
func (v *Verifier) Verify(ctx context.Context, accessToken string) (Token, error) {
	t, remembered, err := v.judge(ctx, accessToken, true)
	if v.onVerdict != nil {
		v.onVerdict(verdict(ctx, err, remembered))
	}
	return t, err
}

// judge is Verify without a report, for a call to which SilentOpen is open or not. It says, too, whether a good token
// was remembered.
func (v *Verifier) judge(ctx context.Context, accessToken string, open bool) (t Token, known bool, err error) {
	// What is too long is refused for that, and not worth a hash before.
	if v.memory == nil || len(accessToken) > jose.MaxTokenSize {
		t, _, err = v.verify(ctx, accessToken, open)
		return t, false, err
	}
	f := fingerprintOf(accessToken)
	if r, ok := v.recall(ctx, f); ok {
		if err := v.withdrawnSince(ctx, accessToken, r, open); err != nil {
			return Token{}, false, err
		}
		return r.token, true, nil
	}
	at, asOf := v.now(), v.generations()
	t, verified, err := v.verify(ctx, accessToken, open)
	if err == nil {
		v.remember(f, t, &verified, at, asOf)
	}
	return t, false, err
}

// verify is Verify from the beginning.
func (v *Verifier) verify(ctx context.Context, accessToken string, open bool) (Token, token.Verified, error) {
	verified, err := v.checker.Verify(ctx, accessToken)
	if err == nil {
		err = v.withdrawn(ctx, accessToken, &verified, open)
	}
	if err != nil {
		return Token{}, token.Verified{}, err
	}
	return Token{claims: verified.Claims, scopes: v.counting(verified.Claims)}, verified, nil
}

// counting returns the scopes of c that count here: RFC 9068, Section 5.
func (v *Verifier) counting(c token.Claims) []string {
	if c.Scope == "" {
		return nil
	}
	scopes := strings.Split(c.Scope, " ") // the check saw to the form
	if len(c.Audience) > 1 {
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return !slices.Contains(v.scopes, s) })
	}
	return scopes
}

// scopeToken reports whether s is one scope token: RFC 6749, Section 3.3.
func scopeToken(s string) bool { return challengeText(s) && !strings.Contains(s, " ") }

// challengeText reports whether s can stand between quotes in a challenge as it is.
func challengeText(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
