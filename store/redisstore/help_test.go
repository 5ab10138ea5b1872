package redisstore

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// testTime is when everything happens in these tests.
var testTime = time.Date(2026, 11, 5, 12, 30, 0, 0, time.UTC)

func testEntry(target string) audit.Entry {
	return audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "1000"}}.Done(testTime, "test.put", target)
}

func revocation(jti string, until time.Time) authz.Revocation {
	return authz.Revocation{Revocation: token.Revocation{Subject: jtiOf(jti), Until: until}, CreatedAt: testTime}
}

func jtiOf(jti string) token.Subject { return token.Subject{Kind: token.RevokedJTI, Value: jti} }

// inTwoHours is an end that has not come, in whole seconds.
func inTwoHours() time.Time { return time.Now().Add(2 * time.Hour).Truncate(time.Second) }

// filled is how many records fill makes that have a code: a client and its two credentials, a resource, a ring
// and two revocations.
const filled = 7

func filledInstallation() keys.Installation {
	return keys.Installation{Format: keys.InstallationFormat, ID: "i", Issuer: "https://as.example", KEKID: "k", Pepper: "p", RecordKey: "r", MAC: []byte("m"), CreatedAt: testTime}
}

// fill makes an installation and one record of each kind.
func fill(t testing.TB, s *Store) {
	t.Helper()
	_, err1 := s.db.PutInstallation(t.Context(), filledInstallation(), testEntry("installation"))
	client := authz.Client{ID: "a", Name: "Acme", Credentials: []authz.Credential{{ID: "k-1"}, {ID: "k-2"}}}
	_, err2 := s.PutClient(t.Context(), client, testEntry("a"), revocation("open", time.Time{}))
	_, err3 := s.PutResource(t.Context(), authz.Resource{ID: "r", Algorithm: jose.ES256, TokenLifetime: time.Minute}, testEntry("r"))
	_, err4 := s.PutRing(t.Context(), storetest.FullRing(jose.ES256), testEntry("ring"))
	_, err5 := s.PutRevocation(t.Context(), revocation("ends", inTwoHours()), testEntry("ends"))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
}

// dump is everything in a Redis, or all whose keys have one of the beginnings, with its ends.
func dump(t testing.TB, raw *redis.Client, prefixes ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := raw.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		content, err1 := raw.Dump(t.Context(), name).Result()
		end, err2 := raw.PExpireTime(t.Context(), name).Result()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = end.String() + " " + content
	}
	return all
}

// unchanged fails if a Redis does not hold what it held.
func unchanged(t testing.TB, raw *redis.Client, before map[string]string, prefixes ...string) {
	t.Helper()
	after := dump(t, raw, prefixes...)
	for name := range before {
		if _, there := after[name]; !there {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, there := before[name]; !there || was != after[name] {
			t.Errorf("%s was written", name)
		}
	}
}

// isAbsence reports whether an error says that something is not there.
func isAbsence(err error) bool {
	return errors.Is(err, authz.ErrNotFound) || errors.Is(err, keys.ErrNotFound)
}

// wantRecordError checks that an error is damage, and names the record.
func wantRecordError(t testing.TB, what string, err error, kind store.Kind, key string) {
	t.Helper()
	var record *store.RecordError
	switch {
	case !errors.As(err, &record) || !errors.Is(err, store.ErrDamaged):
		t.Errorf("%s: got error %v, want damage of %s %q", what, err, kind, key)
	case record.Kind != kind || record.Key != key:
		t.Errorf("%s: got error %v, which does not name %s %q", what, err, kind, key)
	case isAbsence(err) || errors.Is(err, authz.ErrConflict) || errors.Is(err, ErrEmptied):
		t.Errorf("%s: %v must not pass for an answer", what, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	must(t, os.Mkdir(path, 0o700))
}

// waitFor asks again and again whether something has come true.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patient, what)
		}
	}
}

// connected reports whether Redis answers, over the connections of the feed and over the others: after an outage the
// library tries either anew when a second is over.
func connected(t testing.TB, s *Store) bool {
	_, err1 := s.Head(t.Context())
	_, err2 := s.db.Installation(t.Context())
	return err1 == nil && (err2 == nil || isAbsence(err2))
}

func split(addr string) (host, port string) {
	host, port, _ = strings.Cut(addr, ":")
	return host, port
}

func splitLines(text string) []string { return slices.Collect(strings.Lines(text)) }

// userOf is the user in a line of CLIENT LIST.
func userOf(line string) string {
	_, rest, _ := strings.Cut(line, " user=")
	user, _, _ := strings.Cut(rest, " ")
	return user
}
