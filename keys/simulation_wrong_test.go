package keys

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/keys/jose"
)

// hooks break the servers of a simulation. Nil functions and false break nothing.
type hooks struct {
	build    func(*server) // is called before a server's first step
	deaf     bool          // servers do not hear of changes
	document func(Document) Document
	signer   func(*server, jose.Algorithm) (*jose.Signer, error)
	lookup   func(*server, string) (*jose.PublicKey, error)
}

// The test of the test: servers that are wrong in one way, by as little as a term of a window, break a
// promise, and that one, in one of a few hundred histories.
func TestAnyHistoryOfWrongServersBreaksAPromise(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("takes long")
	}
	lead := func(of func(settings) time.Duration) hooks {
		return hooks{build: func(s *server) { s.windows.PublishLead = roundUp(of(s.settings)) }}
	}
	retire := func(of func(settings) time.Duration) hooks {
		return hooks{build: func(s *server) { s.windows.RetireAfter = roundUp(of(s.settings)) }}
	}
	for _, c := range []struct {
		name  string
		wrong hooks
		want  string // part of what is broken: the promise, and the requirement
	}{
		{"no lead", lead(func(settings) time.Duration { return 0 }), "P1: ROT-02"},
		{"a lead without max-age", lead(func(s settings) time.Duration { return s.refresh + s.leeway }), "P1: ROT-02"},
		{"a lead without refresh", lead(func(s settings) time.Duration { return s.maxAge + s.leeway }), "P1: ROT-02"},
		{"a lead without leeway", lead(func(s settings) time.Duration { return s.maxAge + s.refresh }), "P1: ROT-02"},
		{"retires for a minute", retire(func(settings) time.Duration { return time.Minute }), "P1: ROT-03"},
		{"retires without an outage", retire(func(s settings) time.Duration {
			return s.refresh + MaxTokenLifetime + MaxVerifierLeeway
		}), "P1: ROT-03"},
		{"answers for longer than an outage", hooks{build: func(s *server) { s.config.StoreOutage *= 2 }}, "P3: "},
		{"does not hear of changes", hooks{deaf: true}, ": ROT-07"},
		{"signs with a revoked key", hooks{signer: signsWithRevoked()}, "P3: ROT-07"},
		{"one server signs with the next key", hooks{signer: func(s *server, alg jose.Algorithm) (*jose.Signer, error) {
			return s.Signer(alg, s.clock().Add(time.Duration(s.name)*s.m.unit))
		}}, "P4: ROT-04"},
		{"introspection finds revoked keys", hooks{lookup: func(s *server, kid string) (*jose.PublicKey, error) {
			if !s.m.keys[kid].revoked.IsZero() {
				return &jose.PublicKey{}, nil
			}
			return s.Lookup(kid)
		}}, "P2: ROT-07"},
		{"rotates twice a period", hooks{build: func(s *server) { s.config.Periods = shorter(s.config.Periods, 2) }}, "P5: ROT-06"},
		{"rotates by hand only", hooks{build: func(s *server) { s.config.Periods = nil }}, "P5: ROT-06"},
		{"shows a private member", hooks{document: func(d Document) Document {
			d.Body = bytes.Replace(d.Body, []byte(`"kty"`), []byte(`"d":"AA","kty"`), 1)
			return d
		}}, "P6: JWK-03"},
		{"shows an empty set", hooks{document: func(d Document) Document {
			d.Body = []byte(`{"keys":[]}`)
			return d
		}}, "P6: JWK-14"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			history := rapid.Custom(func(t *rapid.T) string {
				if v := play(t, c.wrong); v != nil {
					return v.Error()
				}
				return ""
			})
			const most = 400
			for seed := range most {
				switch broken := history.Example(seed); {
				case strings.Contains(broken, c.want):
					t.Logf("history %d: %s", seed, broken)
					return
				case broken != "":
					t.Fatalf("history %d: %s; want %s", seed, broken, c.want)
				}
			}
			t.Errorf("%d histories kept every promise", most)
		})
	}
}

// signsWithRevoked makes servers that do not let go of a key that was revoked.
func signsWithRevoked() func(*server, jose.Algorithm) (*jose.Signer, error) {
	return func(s *server, alg jose.Algorithm) (*jose.Signer, error) {
		for kid, f := range s.m.keys {
			if m := s.m.opened[kid]; m != nil && f.alg == alg && !f.revoked.IsZero() && s.shows != nil {
				return m.signer, nil
			}
		}
		return s.Signer(alg, s.clock())
	}
}

func shorter(periods map[jose.Algorithm]time.Duration, by time.Duration) map[jose.Algorithm]time.Duration {
	short := map[jose.Algorithm]time.Duration{}
	for alg, p := range periods {
		short[alg] = p / by
	}
	return short
}
