package configs

import "time"

// Gate is every setting of marque gate. A setting's name is its path in the YAML file, such as feed.when_silent; its
// environment variable is MARQUE_GATE_ and that path in capitals joined by "_", such as MARQUE_GATE_FEED_WHEN_SILENT.
// What [Config] says of durations, lists, paths and tags holds here too.
type Gate struct {
	// Issuer is the authorization server whose tokens are taken, exactly as it appears in iss. An https URL
	// without query, fragment or trailing slash. Required.
	Issuer string `yaml:"issuer"`

	// Audience is the API behind the proxy, as it was registered: aud must contain it. Required. APIs with several
	// audiences have a gate for each.
	Audience string `yaml:"audience"`

	// Scopes are those that the API defines. A proxy that requires another one is refused, so that typing errors
	// are found; and of a token with several audiences only these count. Default none: a proxy may require any, and of
	// such a token nothing counts.
	Scopes []string `yaml:"scopes"`

	// Realm names the API in challenges. Default: the audience.
	Realm string `yaml:"realm"`

	// Listen is where proxies ask: host:port, or unix: and the path of a socket, which the gate's user and group can
	// connect to. Default 127.0.0.1:9180. It speaks plain HTTP, and tokens pass there: beyond loopback it needs
	// insecure_http.
	Listen string `yaml:"listen"`

	// StatusListen is host:port of /healthz, /readyz and /metrics; empty for none. Never where callers, or proxies on
	// their behalf, get to. Default 127.0.0.1:9181.
	StatusListen string `yaml:"status_listen"`

	// InsecureHTTP admits an issuer that is not https, and listening beyond loopback. Tokens, and the client's
	// secret, can then be read on the way. Default false.
	InsecureHTTP bool `yaml:"insecure_http"`

	// Mode is how the gate learns of tokens that were revoked: feed, by a stream from the issuer, within a second;
	// introspection, by asking the issuer about each call; expiry, not at all, so that a revoked token works until
	// it expires. Required: there is no default.
	Mode string `yaml:"mode"`

	// ClientID is the gate's own client, which serves the audience (marque client create --serves). Needed for the
	// modes feed and introspection, and refused with expiry.
	ClientID string `yaml:"client_id"`

	// ClientSecretFile is the file with that client's secret. A line break at its end is not part of it. It may not be
	// readable by others. Default none; the secret may come in MARQUE_GATE_CLIENT_SECRET instead.
	ClientSecretFile string `yaml:"client_secret_file"`

	// ClientSecret is the secret itself. It comes from MARQUE_GATE_CLIENT_SECRET only and is never written in a file.
	ClientSecret Secret `yaml:"-" secret:"client_secret"`

	Feed          GateFeedConfig          `yaml:"feed"`
	Introspection GateIntrospectionConfig `yaml:"introspection"`

	// Leeway is how far clocks may differ, 0 to 5m, or seconds. Default 30s.
	Leeway Duration `yaml:"leeway" seconds:"yes"`

	// InsecureTypJWT also takes tokens whose type is JWT, and not at+jwt. Default false.
	InsecureTypJWT bool `yaml:"insecure_typ_jwt"`

	// KeepKeysFor is how long the issuer's last keys are good while it cannot be reached, 1m to 168h. Default 24h.
	KeepKeysFor Duration `yaml:"keep_keys_for"`

	// Remember is how many verified tokens are remembered, 0 to 1000000, so that the same one costs next to
	// nothing the next time. What was revoked is asked all the same. Default 10000, which takes up to 20 MiB.
	Remember int `yaml:"remember"`

	Log      LogConfig      `yaml:"log"`
	Shutdown ShutdownConfig `yaml:"shutdown"`

	// Places says where the settings were given.
	Places Places `yaml:"-"`
}

// GateFeedConfig is about the mode feed; with another mode, all of it must be left at its default.
type GateFeedConfig struct {
	// WhenSilent is what becomes of calls when the issuer is not heard any more, and so it is not known what was
	// revoked: closed, they are answered 503; open, those whose requirement ends in "+" are let through for
	// open_for more, and others are not; introspect, the issuer is asked about each. Required with the mode feed: there is no default.
	WhenSilent string `yaml:"when_silent"`

	// OpenFor is for when_silent open alone, and required there: 1s to 1h.
	OpenFor Duration `yaml:"open_for"`

	// MaxAge is how old what is known may become before the issuer counts as silent, 5s to 5m. Default 10s.
	MaxAge Duration `yaml:"max_age"`

	// MaxRevocations bounds memory, at 65 to 120 bytes for each, 1 to 100000000. More than that cannot be followed.
	// Default 2000000.
	MaxRevocations int `yaml:"max_revocations"`
}

// GateIntrospectionConfig is about the mode introspection, and feed with when_silent introspect.
type GateIntrospectionConfig struct {
	// Timeout is how long one question waits for the issuer's answer, 100ms to 30s. Default 3s.
	Timeout Duration `yaml:"timeout"`

	// CacheFor is how long a token that the issuer called active is not asked about again, and so for how long one
	// may work that was revoked meanwhile: 0 to 1m. Default 0: every call asks.
	CacheFor Duration `yaml:"cache_for"`
}

// GateDefaults returns the settings of a gate that hold where nothing else is said.
func GateDefaults() Gate {
	return Gate{
		Listen:        "127.0.0.1:9180",
		StatusListen:  "127.0.0.1:9181",
		Feed:          GateFeedConfig{MaxAge: Duration(10 * time.Second), MaxRevocations: 2_000_000},
		Introspection: GateIntrospectionConfig{Timeout: Duration(3 * time.Second)},
		Leeway:        Duration(30 * time.Second),
		KeepKeysFor:   Duration(24 * time.Hour),
		Remember:      10_000,
		Log:           LogConfig{Level: "info", Format: "text"},
		Shutdown:      ShutdownConfig{Grace: Duration(10 * time.Second)},
	}
}
