package authz

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAuthenticate_CausesAndOneAnswer(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	other, otherSecret := w.client(t, ClientSpec{Resources: []string{api}})
	w.client(t, ClientSpec{ID: "off", Resources: []string{api}})
	_, offSecret := w.client(t, ClientSpec{ID: "off2", Resources: []string{api}})
	if _, err := w.registry.SetClientDisabled(t.Context(), admin, "off2", true); err != nil {
		t.Fatal(err)
	}
	w.edit(t, "off", func(c *Client) { c.AuthMethod = "private_key_jwt" })
	expired, expiredSecret, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{Expires: w.now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	revoked, revokedSecret, _, _ := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{})
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", revoked.ID, SecretRevocation{}); err != nil {
		t.Fatal(err)
	}
	_, earlySecret, _, _ := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{NotBefore: w.now().Add(time.Hour)})
	w.advance(time.Minute)
	typo := secret[:20] + "AA" + secret[22:]
	if typo == secret {
		typo = secret[:20] + "BB" + secret[22:]
	}

	basic := func(id ClientID, s Secret) Presented { return Presented{Method: PresentedBasic, ID: id, Secret: s} }
	for _, tt := range []struct {
		name      string
		presented Presented
		cause     Cause
	}{
		{"TKE26 nothing", Presented{}, CauseNoCredentials},
		{"TKE27 client_id only", Presented{Method: PresentedID, ID: "acme"}, CauseNoCredentials},
		{"TKE27 client_id only, unknown", Presented{Method: PresentedID, ID: "nobody"}, CauseUnknownClient},
		{"TKE28 unknown", basic("nobody", secret), CauseUnknownClient},
		{"TKE28 unknown, empty id", basic("", secret), CauseUnknownClient},
		{"TKE29 wrong", basic("acme", "wrong"), CauseWrongSecret},
		{"TKE29 wrong by body", Presented{Method: PresentedPost, ID: "acme", Secret: "wrong"}, CauseWrongSecret},
		{"TKE30 expired", basic("acme", expiredSecret), CauseSecretExpired},
		{"not yet", basic("acme", earlySecret), CauseSecretNotYetValid},
		{"revoked", basic("acme", revokedSecret), CauseSecretRevoked},
		{"TKE31 disabled", basic("off2", offSecret), CauseDisabled},
		{"TKE31 disabled, wrong secret", basic("off2", "wrong"), CauseWrongSecret},
		{"TKE32 empty", basic("acme", ""), CauseEmptySecret},
		{"CLA01 other family", basic("off", secret), CauseWrongMethod},
		{"TKE36 unusable", Presented{Unusable: CauseUnsupportedScheme}, CauseUnsupportedScheme},
		{"typo", basic("acme", typo), CauseSecretTypo},
		{"another client's", basic("acme", otherSecret), CauseSecretOfAnotherClient},
		{"ours, but nobody's", basic("acme", newSecret("aaaaaaaaaaaaaaaa")), CauseWrongSecret},
		{"trailing space", basic("acme", secret+" "), CauseTrailingWhitespace},
		{"TOK44 secret as client_id", basic(ClientID(secret), "x"), CauseSecretInClientID},
		{"TOK44 secret as client_id alone", Presented{Method: PresentedID, ID: ClientID(secret)}, CauseSecretInClientID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.server.Token(t.Context(), Request{GrantType: GrantClientCredentials, Client: tt.presented})
			wantError(t, err, InvalidClient, tt.cause)
			if d := err.(*Error).Description; d != invalidClient.description {
				t.Errorf("TOK-42: description %q", d)
			}
		})
	}
	if expired.ID == revoked.ID || other.ID == "" {
		t.Error("identifiers collide")
	}
}

func TestTKE34_PublicClient(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	w.edit(t, "acme", func(c *Client) { c.AuthMethod = AuthNone; c.Credentials = nil })
	_, err := w.server.Token(t.Context(), Request{GrantType: GrantClientCredentials, Client: Presented{Method: PresentedID, ID: "acme"}})
	wantError(t, err, UnauthorizedClient, CausePublicClient)
	w.edit(t, "acme", func(c *Client) { c.Disabled = true })
	_, err = w.server.Token(t.Context(), Request{GrantType: GrantClientCredentials, Client: Presented{Method: PresentedID, ID: "acme"}})
	wantError(t, err, InvalidClient, CauseNoCredentials)
	_, err = w.server.Token(t.Context(), request("acme", "x"))
	wantError(t, err, InvalidClient, CauseWrongMethod)
}

func TestCLA16_TwoLiveSecrets(t *testing.T) {
	w := newWorld(t, nil)
	c, old := w.story(t)
	_, next, created, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	for _, s := range []Secret{old, next} {
		if _, err := w.server.Token(t.Context(), request("acme", s)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.registry.RevokeSecret(t.Context(), admin, "acme", c.Credentials[0].ID, SecretRevocation{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.server.Token(t.Context(), request("acme", old))
	wantError(t, err, InvalidClient, CauseSecretRevoked)
	if _, err := w.server.Token(t.Context(), request("acme", next)); err != nil {
		t.Fatal(err)
	}
}

func TestCLA17_ExpiryAtTheVerySecond(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	_, s, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{Expires: w.now().Add(10 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(9 * time.Second)
	if _, err := w.server.Token(t.Context(), request("acme", s)); err != nil {
		t.Errorf("one second before: %v", err)
	}
	w.advance(time.Second)
	_, err = w.server.Token(t.Context(), request("acme", s))
	wantError(t, err, InvalidClient, CauseSecretExpired)
}

func TestCLA10_ImportedSecretOfAnyShape(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	const id, secret = "a:b", "p %+&=é"
	digest := w.server.authenticator.hash.digest(secret, id, "k1")
	c := w.clients["acme"]
	c.ID, c.Version, c.Credentials = id, 0, []Credential{
		{ID: "k0", Scheme: SchemeHMAC, Digest: make([]byte, 32)},
		{ID: "k1", Scheme: SchemeHMAC, Digest: digest[:]},
	}
	if _, err := w.PutClient(t.Context(), c, admin.Done(w.now(), "x", id)); err != nil {
		t.Fatal(err)
	}
	got, err := w.server.Token(t.Context(), request(id, secret))
	if err != nil || got.Credential != "k1" {
		t.Fatal(got.Credential, err)
	}
	_, err = w.server.Token(t.Context(), request(id, secret+"x"))
	wantError(t, err, InvalidClient, CauseWrongSecret)
}

// A secret that another node has just added must work at once, and an unknown client that another
// node has just made, too: a failure is final only after one read of the store.
func TestAuthenticate_FailureIsFinalOnlyAfterOneRead(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Fatal(err)
	}
	late := newSecret("bbbbbbbbbbbbbbbb")
	w.mu.Lock() // behind the server's back
	c := w.clients["acme"]
	digest := w.server.authenticator.hash.digest(late.Reveal(), "acme", "bbbbbbbbbbbbbbbb")
	c.Version++
	c.Credentials = append(c.Credentials[:1:1], Credential{ID: "bbbbbbbbbbbbbbbb", Scheme: SchemeHMAC, Digest: digest[:], Generated: true})
	w.clients["acme"] = c
	w.mu.Unlock()
	if _, err := w.server.Token(t.Context(), request("acme", late)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Fatal(err)
	}
	ours := newSecret("cccccccccccccccc")
	for name, tt := range map[string]struct {
		request Request
		reads   int64
	}{ // CLA-19: the version, and the owner of a secret that looks like ours
		"known, cached":             {request("acme", "wrong"), 1},
		"unknown":                   {request("nobody", "wrong"), 1},
		"known, cached, our shape":  {request("acme", ours), 2},
		"unknown, our shape":        {request("nobody", ours), 2},
		"wrong family":              {request("jwt", "wrong"), 1},
		"wrong family, our shape":   {request("jwt", ours), 2},
		"client_id alone, unknown":  {Request{GrantType: GrantClientCredentials, Client: Presented{Method: PresentedID, ID: "nobody"}}, 1},
		"client_id alone, no more":  {Request{GrantType: GrantClientCredentials, Client: Presented{Method: PresentedID, ID: "acme"}}, 1},
		"unknown, and still is":     {request("nobody", "other"), 1},
		"known, and the right one":  {request("acme", late), 0},
		"known, wrong, second time": {request("acme", "other"), 1},
	} {
		w.reads(t, name, tt.request, tt.reads)
	}
}

// reads counts the store calls of one request, after one that filled the cache.
func (w *world) reads(t *testing.T, name string, r Request, want int64) {
	t.Helper()
	if r.Client.ID == "jwt" && w.clients["jwt"].ID == "" {
		w.client(t, ClientSpec{ID: "jwt"})
		w.edit(t, "jwt", func(c *Client) { c.AuthMethod = "private_key_jwt" })
	}
	_, _ = w.server.Token(t.Context(), r)
	before := w.calls.Load()
	_, _ = w.server.Token(t.Context(), r)
	if got := w.calls.Load() - before; got != want {
		t.Errorf("%s: %d reads, want %d", name, got, want)
	}
}

// A version that is ahead of what a shared load returns must not end in a refusal.
func TestAuthenticate_ClientThatCameToExistMeanwhile(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	_, err := w.server.Token(t.Context(), request("late", "x"))
	wantError(t, err, InvalidClient, CauseUnknownClient)
	_, secret := w.client(t, ClientSpec{ID: "late", Resources: []string{api}})
	if _, err := w.server.Token(t.Context(), request("late", secret)); err != nil {
		t.Fatal(err)
	}
}

// An older copy of the store under a running server must not enable a client again, and an emptied one
// must not make it unknown: both are "cannot say".
func TestTKE65_AStoreThatWentBackIsUnknownNotNo(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	w.mu.Lock()
	older := w.clients["acme"]
	w.mu.Unlock()
	if _, err := w.registry.SetClientDisabled(t.Context(), admin, "acme", true); err != nil {
		t.Fatal(err)
	}
	_, err := w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, InvalidClient, CauseDisabled)
	for name, replace := range map[string]func(){
		"an older copy": func() { w.clients["acme"] = older },
		"emptied":       func() { delete(w.clients, "acme") },
	} {
		w.mu.Lock()
		replace()
		w.mu.Unlock()
		var u *UnavailableError
		if _, err := w.server.Token(t.Context(), request("acme", secret)); !errors.As(err, &u) || !errors.Is(err, errWentBack) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A client that changes between the two reads of its first request is no store that went back.
func TestAuthenticate_ChangedBetweenVersionAndRecord(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	w.server.AllChanged()
	w.server.authenticator.store = stale{w.memory}
	_, err := w.server.Token(t.Context(), request("acme", "wrong"))
	wantError(t, err, InvalidClient, CauseWrongSecret)
}

// stale reads versions that are one behind.
type stale struct{ *memory }

func (s stale) ClientVersion(ctx context.Context, id ClientID) (uint64, error) {
	s.edit(id)
	return 1, nil
}

// edit writes the client anew, as another server would.
func (m *memory) edit(id ClientID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.clients[id]
	c.Version++
	m.clients[id] = c
}

func TestTKE66_APanicInTheStoreIsAFault(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	w.panics = "client"
	var u *UnavailableError
	if _, err := w.server.Token(t.Context(), request("acme", secret)); !errors.As(err, &u) {
		t.Errorf("got %v", err)
	}
	w.panics = ""
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Of several credentials with one secret, a usable one counts, whatever their order.
func TestAuthenticate_AUsableCredentialCountsFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	const secret = "imported-secret-0123456789"
	for _, order := range [][]CredentialID{{"dead", "live"}, {"live", "dead"}} {
		w.edit(t, "acme", func(c *Client) {
			c.Credentials = nil
			for _, id := range order {
				digest := w.server.authenticator.hash.digest(secret, "acme", id)
				x := Credential{ID: id, Scheme: SchemeHMAC, Digest: digest[:]}
				if id == "dead" {
					x.RevokedAt = w.now()
				}
				c.Credentials = append(c.Credentials, x)
			}
		})
		if got, err := w.server.Token(t.Context(), request("acme", secret)); err != nil || got.Credential != "live" {
			t.Errorf("%v: %q, %v", order, got.Credential, err)
		}
	}
}

func TestTKE65_StoreDownIsUnknownNotNo(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Fatal(err)
	}
	w.fail(errDown)
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Errorf("TOK-36: a cached client got %v", err)
	}
	for name, r := range map[string]Request{"uncached": request("nobody", secret), "cached, wrong secret": request("acme", "wrong")} {
		var u *UnavailableError
		if _, err := w.server.Token(t.Context(), r); !errors.As(err, &u) || u.RetryAfter <= 0 || !errors.Is(err, errDown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.advance(DefaultStoreOutage + time.Second)
	var u *UnavailableError
	if _, err := w.server.Token(t.Context(), request("acme", secret)); !errors.As(err, &u) || !errors.Is(err, errStale) {
		t.Errorf("past the limit: %v", err)
	}
	w.fail(nil)
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Errorf("recovered: %v", err)
	}
}

func TestTOK43_BackOffAnswersFailuresOnly(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Failures = 30 })
	_, secret := w.story(t)
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	from := func(a netip.Addr, id ClientID, s Secret) error {
		r := request(id, s)
		r.Address = a
		_, err := w.server.Token(t.Context(), r)
		return err
	}
	for _, id := range []ClientID{"acme", "nobody"} { // TOK-42: alike
		throttled := 0
		for range 100 {
			var limit *ThrottledError
			if err := from(here, id, "wrong"); errors.As(err, &limit) {
				throttled++
				if limit.RetryAfter <= 0 || limit.Cause != CauseFailuresLimited || limit.Failure == "" {
					t.Fatalf("%+v", limit)
				}
			}
		}
		if throttled != 70 {
			t.Errorf("%s: %d of 100 were throttled, want 70", id, throttled)
		}
	}
	for name, a := range map[string]netip.Addr{"same": here, "another": there} {
		if err := from(a, "acme", secret); err != nil {
			t.Errorf("the right secret from %s address: %v", name, err)
		}
	}
	wantError(t, from(there, "acme", "wrong"), InvalidClient, CauseWrongSecret)
	w.advance(2 * time.Second) // one failure every 2 s
	wantError(t, from(here, "acme", "wrong"), InvalidClient, CauseWrongSecret)
	var limit *ThrottledError
	if err := from(here, "acme", "wrong"); !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
}

func TestFailureKey_CountsAnIPv6HostOnce(t *testing.T) {
	k := func(s string) failureKey { return newFailureKey("c", netip.MustParseAddr(s)) }
	if k("2001:db8::1") != k("2001:db8::ffff") || k("2001:db8::1") == k("2001:db8:0:1::1") {
		t.Error("IPv6 must count by /64")
	}
	if k("::ffff:192.0.2.1") != k("192.0.2.1") || k("192.0.2.1") == k("192.0.2.2") {
		t.Error("IPv4 must count by address, mapped or not")
	}
	if newFailureKey("c", netip.Addr{}) != (failureKey{client: "c"}) {
		t.Error("no address must be one key")
	}
}

func TestTKE64_ClientRateAndQueue(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ClientRate = 2 })
	_, secret := w.story(t)
	other, otherSecret := w.client(t, ClientSpec{Resources: []string{api}})
	for i := range 3 {
		_, err := w.server.Token(t.Context(), request("acme", secret))
		var limit *ThrottledError
		if got := errors.As(err, &limit); got != (i == 2) {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if _, err := w.server.Token(t.Context(), request(other.ID, otherSecret)); err != nil {
		t.Errorf("another client starves: %v", err)
	}
	w.advance(500 * time.Millisecond)
	if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
		t.Errorf("after Retry-After: %v", err)
	}
}

func TestTKE64_SigningQueueIsBounded(t *testing.T) {
	s := newTurns(1, 1)
	hold, held := make(chan struct{}), make(chan struct{})
	done := make(chan error, 2)
	go func() { done <- s.do(t.Context(), func() error { close(held); <-hold; return nil }) }()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.do(ctx, func() error { return nil }) }()
	for s.waiting.Load() != 1 {
		time.Sleep(time.Millisecond) // until the second waits; no time is measured
	}
	if err := s.do(t.Context(), func() error { t.Error("ran"); return nil }); !errors.Is(err, errQueueFull) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting one got %v", err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.do(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTOK44_ErrorsHoldNoSecret(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Failures = 1 })
	_, secret := w.story(t)
	holds := func(err error) bool {
		return strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret.Reveal()[len(secretPrefix):])
	}
	asID := ClientID(secret)
	for _, p := range []Presented{
		{Method: PresentedBasic, ID: "acme", Secret: secret + "x"},
		{Method: PresentedBasic, ID: asID, Secret: secret},
		{Method: PresentedID, ID: asID},
		{Method: PresentedBasic, ID: asID, Secret: "x", Unusable: CauseMalformedCredentials},
	} {
		for range 2 { // the second is throttled
			if _, err := w.server.Token(t.Context(), Request{GrantType: GrantClientCredentials, Client: p}); err == nil || holds(err) {
				t.Errorf("%T %v", err, err)
			}
		}
	}
	w.fail(errDown)
	if _, err := w.server.Token(t.Context(), request(asID, secret)); err == nil || holds(err) {
		t.Errorf("%T %v", err, err)
	}
}

// Waiting does not help against damage: it has a cause of its own, and is no more of an answer than an outage.
func TestADamagedRecordHasItsOwnCause(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	w.server.AllChanged()
	w.fail(fmt.Errorf("client %q: %w", "acme", ErrDamaged))
	_, err := w.server.Token(t.Context(), request("acme", secret))
	wantUnavailable(t, err, CauseRecordDamaged)
	w.fail(errDown)
	_, err = w.server.Token(t.Context(), request("acme", secret))
	wantUnavailable(t, err, CauseStoreUnavailable)
}

func TestTOK41_EveryCauseHasItsRow(t *testing.T) {
	source, err := os.ReadFile("error.go")
	if err != nil {
		t.Fatal(err)
	}
	// These are answered without a code: throttled, unavailable, or refused before the domain.
	without := []Cause{
		CauseBadRequest, CauseCredentialsInURL, CauseSeveralMethods, CauseRateLimited, CauseFailuresLimited,
		CauseSigningQueueFull, CauseRevocationsFull, CauseNoSigningKey, CauseStoreUnavailable, CauseRecordDamaged, CauseKeysUnavailable, CauseNotLoaded, CauseBornVoid,
		CauseClockBehind, CauseClockSkew, CauseUnknownLimited, CauseFeedLimited, CauseFeedFull, CauseFeedUnavailable,
		// Of a Bearer token (RFC 6750), or of a token that is inactive.
		CauseInsufficientScope, CauseTokenRevoked, CauseTokenNotForCaller,
		CauseTokenMalformed, CauseTokenHeader, CauseTokenType, CauseTokenAlgorithm, CauseTokenUnknownKey, CauseTokenSignature,
		CauseTokenClaims, CauseTokenIssuer, CauseTokenAudience, CauseTokenExpired, CauseTokenNotYetValid, CauseTokenConfirmation,
	}
	causes := regexp.MustCompile(`Cause = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(causes) < 30 {
		t.Fatalf("found %d causes", len(causes))
	}
	for _, c := range causes {
		r, ok := refusals[Cause(c[1])]
		if ok == slices.Contains(without, Cause(c[1])) || ok && (r.code == "" || r.description == "") {
			t.Errorf("%s: row %+v", c[1], r)
		}
	}
	if e := refuse("forgotten", "", ""); e.Code != "" {
		t.Errorf("a forgotten cause is answered %s", e.Code)
	}
}
