package configs

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// serverLoader is the loader of a server's settings, with its rules.
type serverLoader struct {
	*loader
	loaded *Loaded
}

// validate reports every value that cannot work. A setting whose value could not be read was
// reported already; rules about it would only mislead.
func (l *serverLoader) validate() {
	l.checkIssuer()
	l.checkListeners()
	l.checkTLS()
	l.checkProxies()
	l.checkStore()
	l.checkRanges()
	l.checkChoices()
	l.checkWindows()
	l.checkNamespaces()
	l.checkSecrets()
	l.checkRedis()
}

// wrong reports a setting by the place where it was given. Of one that was not given there is no line to change, so
// that it says where it can be.
func (l *loader) wrong(path, format string, args ...any) {
	from, ok := l.of.sources[path]
	if !ok {
		format, args = format+"; %s", append(args, l.places.How(path))
	}
	l.problem(from, path, format, args...)
}

// readable reports whether all of the settings could be read.
func (l *loader) readable(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return l.invalid[p] })
}

func (l *serverLoader) checkTLS() {
	t := l.loaded.TLS
	l.checkPair("tls.cert_file", t.CertFile, "tls.key_file", t.KeyFile)
}

// checkPair wants a certificate and its key, or neither.
func (l *loader) checkPair(certPath, cert, keyPath, key string) {
	switch {
	case cert != "" && key == "" && l.readable(keyPath):
		l.wrong(certPath, "needs %s too", l.advice(keyPath))
	case key != "" && cert == "" && l.readable(certPath):
		l.wrong(keyPath, "needs %s too", l.advice(certPath))
	}
}

// namespaceSyntax keeps the namespace harmless in every store's own naming.
var namespaceSyntax = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

func (l *serverLoader) checkStore() {
	if n := l.loaded.Store.Namespace; !namespaceSyntax.MatchString(n) {
		l.wrong("store.namespace", "%q is not 1 to 64 of a-z, 0-9, _ and -", n)
	}
}

// checkRanges holds the numbers to the ranges that the comments of Config name.
func (l *serverLoader) checkRanges() {
	c := &l.loaded.Config
	l.checkDurations([]durationRange{
		{"leeway", c.Leeway, 0, 5 * time.Minute},
		{"store.outage", c.Store.Outage, time.Second, time.Hour},
		{"redis.timeout", c.Redis.Timeout, 50 * time.Millisecond, 10 * time.Second},
		{"durability.timeout", c.Durability.Timeout, 10 * time.Millisecond, 10 * time.Second},
		{"cache.max_age", c.Cache.MaxAge, 10 * time.Millisecond, time.Minute},
		{"keys.jwks_max_age", c.Keys.JWKSMaxAge, time.Second, 24 * time.Hour},
		{"keys.refresh_interval", c.Keys.RefreshInterval, time.Second, time.Hour},
		{"keys.publish_lead", c.Keys.PublishLead, time.Second, 8760 * time.Hour},
		{"keys.period", c.Keys.Period, 0, 8760 * time.Hour},
		{"shutdown.grace", c.Shutdown.Grace, 0, 5 * time.Minute},
	})
	l.checkNumbers([]numberRange{
		{"durability.replicas", c.Durability.Replicas, 0, 10},
		{"cache.clients", c.Cache.Clients, 1, 1_000_000},
		{"limits.client_rate", c.Limits.ClientRate, 0, 1_000_000},
		{"limits.signing_queue", c.Limits.SigningQueue, 0, 1_000_000},
		{"limits.failures", c.Limits.Failures, 0, 1_000_000},
		{"limits.unknown_tokens", c.Limits.UnknownTokens, 0, 1_000_000},
		{"limits.token_revocations", c.Limits.TokenRevocations, 1, 100_000},
		{"limits.feed_streams", c.Limits.FeedStreams, 1, 100_000},
	})
	for _, r := range []struct {
		path  string
		value Duration
	}{
		{"leeway", c.Leeway},
		{"keys.jwks_max_age", c.Keys.JWKSMaxAge},
		{"keys.refresh_interval", c.Keys.RefreshInterval},
		{"keys.publish_lead", c.Keys.PublishLead},
		{"keys.period", c.Keys.Period},
	} {
		if l.readable(r.path) && time.Duration(r.value)%time.Second != 0 {
			l.wrong(r.path, "%v is not a whole number of seconds", r.value)
		}
	}
}

func (l *serverLoader) checkChoices() {
	c := &l.loaded.Config
	l.checkWords([]choice{
		{"store.driver", c.Store.Driver, []string{"bolt", "redis"}},
		{"keys.algorithm", c.Keys.Algorithm, []string{"ES256", "ES384", "RS256", "PS256", "Ed25519"}},
		{"keys.ed25519_name", c.Keys.Ed25519Name, []string{"EdDSA", "Ed25519"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
	})
}

// durationRange is a setting and the range that its comment names.
type durationRange struct {
	path     string
	value    Duration
	low, top time.Duration
}

func (l *loader) checkDurations(all []durationRange) {
	for _, r := range all {
		if d := time.Duration(r.value); l.readable(r.path) && (d < r.low || d > r.top) {
			l.wrong(r.path, "%v is not between %v and %v", r.value, Duration(r.low), Duration(r.top))
		}
	}
}

// numberRange is the same for a number.
type numberRange struct {
	path            string
	value, low, top int
}

func (l *loader) checkNumbers(all []numberRange) {
	for _, r := range all {
		if l.readable(r.path) && (r.value < r.low || r.value > r.top) {
			l.wrong(r.path, "%d is not between %d and %d", r.value, r.low, r.top)
		}
	}
}

// choice is a setting and the words that it may be.
type choice struct {
	path, value string
	choices     []string
}

func (l *loader) checkWords(all []choice) {
	for _, r := range all {
		if l.readable(r.path) && !slices.Contains(r.choices, r.value) {
			l.wrong(r.path, "%q is not %s", r.value, strings.Join(r.choices, ", "))
		}
	}
}

// checkWindows holds the lead to what it is for, that every cache of the JWKS knows a key before it
// signs; and an outage to be longer than the time between two looks at the store.
func (l *serverLoader) checkWindows() {
	k := l.loaded.Keys
	if l.readable("keys.publish_lead", "keys.jwks_max_age", "keys.refresh_interval", "leeway") {
		if least := k.JWKSMaxAge + k.RefreshInterval + l.loaded.Leeway; k.PublishLead < least {
			l.wrong("keys.publish_lead", "%v is shorter than keys.jwks_max_age + keys.refresh_interval + leeway, which is %v + %v + %v = %v",
				k.PublishLead, k.JWKSMaxAge, k.RefreshInterval, l.loaded.Leeway, least)
		}
	}
	l.checkPeriods()
	if outage := l.loaded.Store.Outage; l.readable("store.outage", "keys.refresh_interval") && outage <= k.RefreshInterval {
		l.wrong("store.outage", "%v is not longer than keys.refresh_interval, which is %v", outage, k.RefreshInterval)
	}
}

// checkPeriods holds the schedule to the lead: a next key is made when one takes over, and has to be known
// to every cache before its own turn.
func (l *serverLoader) checkPeriods() {
	k := l.loaded.Keys
	least := k.PublishLead + k.RefreshInterval + l.loaded.Leeway
	judge := func(path, of string, p Duration) {
		if l.readable("keys.publish_lead", "keys.refresh_interval", "leeway") && p != 0 && p < least {
			l.wrong(path, "%v%s is shorter than keys.publish_lead + keys.refresh_interval + leeway, which is %v + %v + %v = %v; 0 would mean that keys rotate by hand",
				p, of, k.PublishLead, k.RefreshInterval, l.loaded.Leeway, least)
		}
	}
	if l.readable("keys.period") {
		judge("keys.period", "", k.Period)
	}
	if !l.readable("keys.periods") {
		return
	}
	periods, err := k.PeriodsByAlgorithm()
	if err != nil {
		l.wrong("keys.periods", "%v", err)
		return
	}
	for _, alg := range slices.Sorted(maps.Keys(periods)) {
		judge("keys.periods", " for "+alg, Duration(periods[alg]))
	}
}

// checkNamespaces wants each beginning of claim names to be one that no registered claim can have
// by accident: a URI, or a dotted or underscored prefix that ends in a separator.
func (l *serverLoader) checkNamespaces() {
	for _, n := range l.loaded.Claims.Namespaces {
		if len(n) < 3 || len(n) > 128 || !strings.ContainsRune("/:._#-", rune(n[len(n)-1])) || strings.ContainsFunc(n, notVisible) {
			l.wrong("claims.namespaces", "%q is not 3 to 128 visible ASCII characters that end in one of / : . _ # -", n)
		}
	}
}

func notVisible(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }

// checkSecrets refuses a secret that is given twice: which key-encryption key seals, say, must not
// hang on a rule of precedence that nobody remembers.
func (l *loader) checkSecrets() {
	for _, s := range secrets(l.of.root) {
		if !s.field.IsZero() && l.settings[s.file()].field.String() != "" {
			l.wrong(s.file(), "is given beside %s; give one of them", l.of.variable(s.path))
		}
	}
}
