package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// JWT-46, RSV-24: the key belongs to the issuer, and the issuer is compared character by character.
func TestRSV24_JWT46_JWT06_Issuer(t *testing.T) {
	a, b := signer(t, jose.ES256), signer(t, jose.ES256)
	c := checker(t, checkFor(t, a))
	for _, iss := range []string{issuer + "/", "https://AS.example", "http://as.example", "https://as.example:443", "https://evil.example", " " + issuer} {
		wantReason(t, c, iss, sign(t, a, members(map[string]any{"iss": iss})), token.ReasonIssuer)
	}
	wantReason(t, c, "issuer B's key, issuer A's name", sign(t, b, members(nil)), token.ReasonUnknownKey)
	wantReason(t, c, "issuer B's token, A's key", sign(t, a, members(map[string]any{"iss": "https://b.example"})), token.ReasonIssuer)
	// The same kid under two issuers: B's key must not be found by A's verifier.
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := jose.NewSigner(key, a.KeyID(), jose.ES256, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, c, "same kid", sign(t, impostor, members(nil)), token.ReasonSignature)
}

// JWT-08, JWT-47, RSV-26: the audience.
func TestRSV26_JWT47_JWT09_Audience(t *testing.T) {
	s := signer(t, jose.ES256)
	c := checker(t, checkFor(t, s))
	for _, aud := range []any{audience, []string{audience}, []string{"https://x", audience}} {
		wantReason(t, c, fmt.Sprint(aud), sign(t, s, members(map[string]any{"aud": aud})), "")
	}
	for _, aud := range []any{
		"https://other.example", audience + "/", audience + "/v1", audience[:len(audience)-1], "HTTPS://API.EXAMPLE", issuer,
		[]string{"https://x", "https://y"},
		audience + " https://x", "*",
	} {
		wantReason(t, c, fmt.Sprint(aud), sign(t, s, members(map[string]any{"aud": aud})), token.ReasonAudience)
	}
	wantReason(t, c, "missing", sign(t, s, members(map[string]any{"aud": nil})), token.ReasonClaims)
}

// RSV-27: the very second of expiry, for several leeways.
func TestRSV27_JWT07_RST09_Expiry(t *testing.T) {
	s := signer(t, jose.ES256)
	now := epoch
	for leeway, seconds := range map[time.Duration]time.Duration{
		0: 30 * time.Second, token.NoLeeway: 0, time.Second: time.Second, token.MaxLeeway: 5 * time.Minute,
	} {
		check := checkFor(t, s)
		check.Leeway, check.Now = leeway, func() time.Time { return now }
		c := checker(t, check)
		compact := sign(t, s, members(map[string]any{"exp": epoch.Unix()}))
		for _, tt := range []struct {
			at   time.Duration
			want token.Reason
		}{
			{seconds - time.Nanosecond, ""},
			{seconds - time.Second, ""},
			{seconds, token.ReasonExpired},
			{seconds + time.Hour, token.ReasonExpired},
		} {
			now = epoch.Add(tt.at)
			wantReason(t, c, fmt.Sprintf("leeway %v at exp%+v", leeway, tt.at), compact, tt.want)
		}
		now = epoch
		wantReason(t, c, "no exp", sign(t, s, members(map[string]any{"exp": nil})), token.ReasonClaims)
	}
}

// RSV-28, RSV-29: nbf with the leeway, iat with its own minute.
func TestRSV28_RSV29_JWT12_JWT14_NotYet(t *testing.T) {
	s := signer(t, jose.ES256)
	now := epoch.Unix()
	for name, tt := range map[string]struct {
		members map[string]any
		leeway  time.Duration
		want    token.Reason
	}{
		"nbf now":                     {map[string]any{"nbf": now}, 0, ""},
		"nbf at the leeway":           {map[string]any{"nbf": now + 30}, 0, ""},
		"nbf past the leeway":         {map[string]any{"nbf": now + 31}, 0, token.ReasonNotYetValid},
		"nbf past by a fraction":      {map[string]any{"nbf": raw(fmt.Sprintf("%d.5", now+30))}, 0, token.ReasonNotYetValid},
		"nbf ahead, no leeway":        {map[string]any{"nbf": now + 1}, token.NoLeeway, token.ReasonNotYetValid},
		"nbf now, no leeway":          {map[string]any{"nbf": now}, token.NoLeeway, ""},
		"iat a minute ahead":          {map[string]any{"iat": now + 60}, 0, ""},
		"iat past the minute":         {map[string]any{"iat": now + 61}, 0, token.ReasonNotYetValid},
		"iat past it by a fraction":   {map[string]any{"iat": raw(fmt.Sprintf("%d.5", now+60))}, 0, token.ReasonNotYetValid},
		"iat past it, huge leeway":    {map[string]any{"iat": now + 61}, token.MaxLeeway, token.ReasonNotYetValid},
		"iat ahead, without leeway":   {map[string]any{"iat": now + 60}, token.NoLeeway, ""},
		"iat long ago":                {map[string]any{"iat": 1}, 0, ""},
		"iat a string":                {map[string]any{"iat": "1"}, 0, token.ReasonClaims},
		"nbf a string":                {map[string]any{"nbf": "1"}, 0, token.ReasonClaims},
		"nbf null":                    {map[string]any{"nbf": raw("null")}, 0, token.ReasonClaims},
		"exp before iat, both future": {map[string]any{"iat": now + 50, "exp": now + 10}, 0, ""},
	} {
		check := checkFor(t, s)
		check.Leeway = tt.leeway
		wantReason(t, checker(t, check), name, sign(t, s, members(tt.members)), tt.want)
	}
}

// RSV-36, RBD-02: unknown claims are ignored; a confirmation of any kind is a restriction.
func TestRSV36_RBD02_UnknownAndRestricting(t *testing.T) {
	s := signer(t, jose.ES256)
	c := checker(t, checkFor(t, s))
	for _, cnf := range []string{`{"x":1}`, `{}`, `null`, `"x"`, `[]`, `{"jkt":"a"}`, `{"x5t#S256":"a"}`, `false`} {
		wantReason(t, c, cnf, sign(t, s, members(map[string]any{"cnf": raw(cnf)})), token.ReasonConfirmation)
	}
	wantReason(t, c, "unknown", sign(t, s, members(map[string]any{"x": 1, "sid": "s", "authorization_details": raw(`[]`)})), "")
}

// JWT-48: a kid that somebody hopes will be used for more than a comparison.
func TestJWT48_HostileKid(t *testing.T) {
	key, s := newRawES256(t)
	asked := 0
	check := checkFor(t, s)
	find := check.Key
	check.Key = func(ctx context.Context, h jose.Header) (*jose.PublicKey, error) {
		asked++
		if len(h.KeyID) > jose.MaxKeyIDLength || strings.ContainsAny(h.KeyID, "\n\r\x00\"\\") {
			t.Errorf("the lookup saw %.80q", h.KeyID)
		}
		return find(ctx, h)
	}
	c := checker(t, check)
	for _, kid := range []string{
		"../../etc/passwd", "' OR 1=1 --", "*)(uid=*", `a\nb`, `\u0000`, `\"`, strings.Repeat("k", 257), strings.Repeat("k", 1_000_000), "", "é",
	} {
		compact := forge(t, key, `{"alg":"ES256","kid":"`+kid+`","typ":"at+jwt"}`, string(members(nil)))
		wantReason(t, c, fmt.Sprintf("%.20s", kid), compact, token.ReasonUnknownKey, token.ReasonHeader, token.ReasonMalformed)
	}
	wantReason(t, c, "no kid", forge(t, key, `{"alg":"ES256","typ":"at+jwt"}`, string(members(nil))), token.ReasonHeader)
	if asked > 3 {
		t.Errorf("%d lookups", asked)
	}
}

// A key source that cannot answer leaves the token unjudged, whatever its error wraps.
func TestChecker_FaultIsNoRefusal(t *testing.T) {
	s := signer(t, jose.ES256)
	compact := sign(t, s, members(nil))
	for _, cause := range []error{errors.New("away"), fmt.Errorf("jwks: %w", jose.ErrMalformed), fmt.Errorf("jwks: %w", jose.ErrSignature), context.Canceled} {
		check := checkFor(t, s)
		check.Key = func(context.Context, jose.Header) (*jose.PublicKey, error) { return nil, cause }
		_, err := checker(t, check).Verify(t.Context(), compact)
		if errors.Is(err, token.ErrToken) || !errors.Is(err, cause) {
			t.Errorf("%v became %v", cause, err)
		}
	}
	check := checkFor(t, s)
	check.Key = func(context.Context, jose.Header) (*jose.PublicKey, error) { return nil, nil }
	wantReason(t, checker(t, check), "no key and no error", compact, token.ReasonUnknownKey)
}

// JWT-52, RST-11, RST-12: every defect has one public text; the log has the reason, and never the token.
func TestJWT52_RST11_RST12_OnePublicAnswer(t *testing.T) {
	key, s := newRawES256(t)
	c := checker(t, checkFor(t, s))
	h := `{"alg":"ES256","kid":"kid1","typ":"at+jwt"}`
	defects := map[token.Reason]string{
		token.ReasonMalformed:    "x",
		token.ReasonHeader:       forge(t, key, `{"alg":"ES256","kid":"kid1","typ":"at+jwt","x":1}`, string(members(nil))),
		token.ReasonType:         forge(t, key, `{"alg":"ES256","kid":"kid1","typ":"JWT"}`, string(members(nil))),
		token.ReasonAlgorithm:    forge(t, key, `{"alg":"none","kid":"kid1","typ":"at+jwt"}`, string(members(nil))),
		token.ReasonUnknownKey:   forge(t, key, `{"alg":"ES256","kid":"kid2","typ":"at+jwt"}`, string(members(nil))),
		token.ReasonSignature:    b64(h) + "." + b64(string(members(nil))) + "." + strings.Repeat("A", 86),
		token.ReasonClaims:       forge(t, key, h, string(members(map[string]any{"jti": nil}))),
		token.ReasonIssuer:       forge(t, key, h, string(members(map[string]any{"iss": "x"}))),
		token.ReasonAudience:     forge(t, key, h, string(members(map[string]any{"aud": "x"}))),
		token.ReasonExpired:      forge(t, key, h, string(members(map[string]any{"exp": 1}))),
		token.ReasonNotYetValid:  forge(t, key, h, string(members(map[string]any{"iat": 1900000000}))),
		token.ReasonConfirmation: forge(t, key, h, string(members(map[string]any{"cnf": raw(`{"jkt":"x"}`)}))),
	}
	for reason, compact := range defects {
		claims, err := c.Verify(t.Context(), compact)
		if err == nil || err.Error() != token.ErrToken.Error() || fmt.Sprintf("%+v", err) != token.ErrToken.Error() {
			t.Errorf("%s: %v", reason, err)
		}
		if claims.Issuer != "" || claims.Static != nil {
			t.Errorf("%s: claims of a refused token: %+v", reason, claims)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "refusal", err)
		if !strings.Contains(log.String(), `"reason":"`+string(reason)+`"`) {
			t.Errorf("%s: log %s", reason, log.String())
		}
		if len(compact) > 10 {
			for _, part := range strings.Split(compact, ".")[1:] {
				if strings.Contains(log.String(), part) {
					t.Errorf("%s: the token is in the log: %s", reason, log.String())
				}
			}
		}
		verified := reason == token.ReasonIssuer || reason == token.ReasonExpired
		if verified && (!strings.Contains(log.String(), `"jti":"j1","client_id":"c1"`) || !strings.Contains(log.String(), `"kid":"kid1"`)) {
			t.Errorf("%s: log %s", reason, log.String())
		}
		if reason == token.ReasonSignature && strings.Contains(log.String(), "client_id") {
			t.Errorf("unverified claims are in the log: %s", log.String())
		}
	}
}

// What the header says comes with the claims: of the key that verified, and of the type by one of two names.
func TestVerified_Header(t *testing.T) {
	key, s := newRawES256(t)
	check := checkFor(t, s)
	check.InsecureTypJWT = true
	c := checker(t, check)
	for typ, want := range map[string]string{
		"at+jwt": token.TypeAccessToken, "AT+JWT": token.TypeAccessToken, "application/at+jwt": token.TypeAccessToken,
		"JWT": token.TypeJWT, "jwt": token.TypeJWT, "application/jwt": token.TypeJWT,
	} {
		v, err := c.Verify(t.Context(), forge(t, key, `{"alg":"ES256","kid":"`+s.KeyID()+`","typ":"`+typ+`"}`, string(members(nil))))
		if err != nil || v.Type != want || v.KeyID != s.KeyID() || v.JTI != "j1" {
			t.Errorf("%s: %+v, %v", typ, v, err)
		}
	}
	v, err := c.Verify(t.Context(), sign(t, s, members(map[string]any{"exp": 1})))
	if err == nil || v.KeyID != "" || v.Type != "" || v.JTI != "" {
		t.Errorf("a refused token says something: %+v, %v", v, err)
	}
}

// AnyAudience is for the issuer, which judges tokens whoever they are for. It weakens nothing else.
func TestCheck_AnyAudience(t *testing.T) {
	s := signer(t, jose.ES256)
	check := checkFor(t, s)
	check.Audience, check.AnyAudience, check.Leeway = "", true, token.NoLeeway
	c := checker(t, check)
	for _, aud := range []any{audience, "https://other.example", "x", []string{"https://x", "https://y"}} {
		wantReason(t, c, fmt.Sprint(aud), sign(t, s, members(map[string]any{"aud": aud})), "")
	}
	for _, aud := range []any{nil, "", raw("null"), raw("[]"), []string{"https://x", ""}, 1} {
		wantReason(t, c, fmt.Sprint(aud), sign(t, s, members(map[string]any{"aud": aud})), token.ReasonClaims)
	}
	for name, tt := range map[string]struct {
		change map[string]any
		want   token.Reason
	}{
		"issuer":  {map[string]any{"iss": issuer + "/"}, token.ReasonIssuer},
		"expired": {map[string]any{"exp": epoch.Unix()}, token.ReasonExpired},
		"early":   {map[string]any{"nbf": epoch.Unix() + 1}, token.ReasonNotYetValid},
		"bound":   {map[string]any{"cnf": raw("{}")}, token.ReasonConfirmation},
	} {
		wantReason(t, c, name, sign(t, s, members(tt.change)), tt.want)
	}
	wantReason(t, c, "a key of somebody else", sign(t, signer(t, jose.ES256), members(nil)), token.ReasonUnknownKey)
	jwt, err := s.Sign(token.TypeJWT, members(nil))
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, c, "type", jwt, token.ReasonType)
}

func TestNewChecker_Refuses(t *testing.T) {
	for name, spoil := range map[string]func(*token.Check){
		"Issuer":         func(c *token.Check) { c.Issuer = "" },
		"Audience":       func(c *token.Check) { c.Audience = "" },
		"two audiences":  func(c *token.Check) { c.AnyAudience = true },
		"Algorithms":     func(c *token.Check) { c.Algorithms = nil },
		"none":           func(c *token.Check) { c.Algorithms = []jose.Algorithm{"none"} },
		"HS256":          func(c *token.Check) { c.Algorithms = []jose.Algorithm{jose.ES256, "HS256"} },
		"Key":            func(c *token.Check) { c.Key = nil },
		"leeway below":   func(c *token.Check) { c.Leeway = -2 },
		"leeway -1 s":    func(c *token.Check) { c.Leeway = -time.Second },
		"leeway ceiling": func(c *token.Check) { c.Leeway = token.MaxLeeway + 1 },
	} {
		check := checkFor(t, signer(t, jose.ES256))
		spoil(&check)
		if _, err := token.NewChecker(check); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := token.NewChecker(token.Check{}); err == nil || !strings.Contains(err.Error(), "Audience") || !strings.Contains(err.Error(), "Key") {
		t.Errorf("not every problem is named: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	s := signer(f, jose.ES256)
	c := checker(f, checkFor(f, s))
	good, err := s.Sign(token.TypeAccessToken, members(nil))
	if err != nil {
		f.Fatal(err)
	}
	p := strings.Split(good, ".")
	for _, seed := range []string{good, "", "..", p[0] + "..", good + "=", p[0] + "." + p[1] + "." + strings.Repeat("A", 86), b64(`{"alg":"none"}`) + ".e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		claims, err := c.Verify(context.Background(), compact)
		if err == nil {
			// Nobody but the signer makes a token: at most the signature is another text of the same.
			if compact[:strings.LastIndex(compact, ".")] != p[0]+"."+p[1] {
				t.Fatalf("forged: %q", compact)
			}
			return
		}
		if !errors.Is(err, token.ErrToken) || claims.JTI != "" {
			t.Fatalf("%v, %+v", err, claims)
		}
	})
}
