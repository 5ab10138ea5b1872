package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// A round decides so often beside each number of revocations.
const (
	decisionsAlone = 20_000 // token.Void
	decisionsWhole = 400    // with the check of the token before it
)

// decision is what it costs to decide about one token beside so many live revocations: µs of CPU, one
// for each round.
type decision struct {
	revoked      int
	alone, whole []float64
}

// apart returns by how much the decisions of each round lie apart: the dearest by the cheapest.
func apart(all []decision, of func(decision) []float64) []float64 {
	ratios := make([]float64, len(of(all[0])))
	for round := range ratios {
		var costs []float64
		for _, d := range all {
			costs = append(costs, of(d)[round])
		}
		s := spreadOf(costs, func(c float64) float64 { return c })
		ratios[round] = s.most / s.least
	}
	return ratios
}

// measureDecision measures in this process: introspection pays for HTTP and the store besides.
func (l *lab) measureDecision(ctx context.Context, r *report) error {
	good, checker, err := newJudge()
	if err != nil {
		return err
	}
	tokens, err := liveTokens(ctx, checker, good)
	if err != nil {
		return err
	}
	all := []decision{{revoked: 0}, {revoked: 1_000}, {revoked: 1_000_000}}
	indexes := make([]*token.Index, len(all))
	var memory int64
	for i, d := range all {
		before := heap()
		indexes[i] = newIndex(d.revoked)
		memory = heap() - before
	}
	for range l.settings.pairs {
		for i := range all {
			alone, err := perDecision(decisionsAlone, func(n int) error { return decide(&tokens[n%len(tokens)], indexes[i]) })
			if err != nil {
				return err
			}
			whole, err := perDecision(decisionsWhole, func(n int) error {
				if _, err := checker.Verify(ctx, good); err != nil {
					return err
				}
				return decide(&tokens[n%len(tokens)], indexes[i])
			})
			if err != nil {
				return err
			}
			all[i].alone, all[i].whole = append(all[i].alone, alone), append(all[i].whole, whole)
		}
	}
	r.decisions(all, memory)
	runtime.KeepAlive(indexes)
	return nil
}

func decide(v *token.Verified, x *token.Index) error {
	if _, void := token.Void(&v.Claims, v.KeyID, x); void {
		return errors.New("a token that nobody revoked is void")
	}
	return nil
}

// liveTokens returns many tokens as they are after their check, which differ in their jti: one alone
// would soon have its place in the index in the core's first caches.
func liveTokens(ctx context.Context, checker *token.Checker, good string) ([]token.Verified, error) {
	v, err := checker.Verify(ctx, good)
	if err != nil {
		return nil, fmt.Errorf("check a token: %w", err)
	}
	tokens := make([]token.Verified, 1<<15)
	for i := range tokens {
		tokens[i] = v
		tokens[i].JTI = fmt.Sprintf("LIVE%022d", i)
	}
	return tokens, nil
}

// perDecision returns the CPU time of one call of f, in µs.
func perDecision(n int, f func(n int) error) (float64, error) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := f(i); err != nil {
			return 0, err
		}
	}
	after, err := cpuTime(os.Getpid())
	return float64((after - before).Nanoseconds()) / 1e3 / float64(n), err
}

// newIndex returns an index in which so many tokens are revoked, a thousand of each client.
func newIndex(n int) *token.Index {
	all := make([]token.Indexed, n)
	until := time.Now().UTC().Truncate(time.Second).Add(token.RevocationKept)
	for i := range all {
		all[i] = token.Indexed{
			Revocation: token.Revocation{
				Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprintf("REVOKED%019d", i)}, Until: until,
			},
			Client: clientID(i / 1_000),
		}
	}
	x := token.NewIndex()
	x.Replace(all)
	return x
}

// heap returns what is in use after everything else was collected.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// newJudge returns an ES256 token and what checks it.
func newJudge() (compact string, checker *token.Checker, err error) {
	const issuer = "https://as.example"
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		return "", nil, err
	}
	signer, err := jose.NewSigner(key, "kid", jose.ES256, jose.ES256)
	if err != nil {
		return "", nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	claims := token.Claims{
		Issuer: issuer, Subject: clientID(1), ClientID: clientID(1), CredentialID: "aaaaaaaaaaaaaaaa",
		Audience: []string{resourceOf(jose.ES256)}, Scope: scope, IssuedAt: now, Expiry: now.Add(time.Hour), JTI: "LIVE0000000000000000000000",
	}
	payload, err := claims.AppendJSON(nil)
	if err != nil {
		return "", nil, err
	}
	if compact, err = signer.Sign(token.TypeAccessToken, payload); err != nil {
		return "", nil, err
	}
	public := signer.PublicKey()
	checker, err = token.NewChecker(token.Check{
		Issuer: issuer, Audience: claims.Audience[0], Algorithms: []jose.Algorithm{jose.ES256},
		Key: func(context.Context, jose.Header) (*jose.PublicKey, error) { return public, nil },
	})
	return compact, checker, err
}
