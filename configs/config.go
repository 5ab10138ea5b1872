package configs

import "time"

// Config is every setting. A setting's name is its path in the YAML file, such as keys.kek_file;
// its environment variable is MARQUE_ and that path in capitals joined by "_", such as
// MARQUE_KEYS_KEK_FILE, with lists comma-separated. Durations are written as "15m"; where the
// comment says "or seconds", a plain number means seconds. Relative paths start at the working
// directory of the process.
//
// The struct tags are read by this package alone: yaml is the name, seconds:"yes" admits a plain
// number for a duration, and secret is the name of what a variable carries and no file holds; the
// name with _file is the setting that names its file instead.
type Config struct {
	// Issuer is the identifier of this server: the iss of every token, and the base of every URL in
	// the metadata. An https URL without query, fragment or trailing slash. Default: what the
	// installation record says (marque init wrote it there); with --dev, http:// and the listen
	// address. One that differs from the installation record is refused at start.
	Issuer string `yaml:"issuer"`

	// Listen is host:port of the public listener. Default 127.0.0.1:8080. Beyond loopback it needs
	// tls, trusted_proxies or insecure_http.
	Listen string `yaml:"listen"`

	// Data is the folder that holds the admin socket and, with store.driver bolt, the store. Default
	// $HOME/.marque.
	// It is made with mode 0700; one that others can read is refused unless --dev is given.
	Data string `yaml:"data"`

	Admin AdminConfig `yaml:"admin"`
	TLS   TLSConfig   `yaml:"tls"`

	// InsecureHTTP admits an issuer that is not https, and plain HTTP beyond loopback. Tokens and
	// secrets can then be read on the way. Default false.
	InsecureHTTP bool `yaml:"insecure_http"`

	// TrustedProxies are the addresses, or networks such as 10.0.0.0/8, of the proxies that end TLS
	// before this server: from them, and only from them, X-Forwarded-For is believed (for the log
	// and the back-off). Naming one admits plain HTTP beyond loopback. Default none.
	TrustedProxies []string `yaml:"trusted_proxies"`

	Store      StoreConfig      `yaml:"store"`
	Redis      RedisConfig      `yaml:"redis"`
	Durability DurabilityConfig `yaml:"durability"`
	Cache      CacheConfig      `yaml:"cache"`
	Keys       KeysConfig       `yaml:"keys"`

	// Leeway is how far clocks may differ, 0 to 5m, or seconds. It enters the windows of signing
	// keys; the server applies none to its own tokens. Default 30s (1s with --dev).
	Leeway Duration `yaml:"leeway" seconds:"yes"`

	Limits   LimitsConfig   `yaml:"limits"`
	Claims   ClaimsConfig   `yaml:"claims"`
	Metadata MetadataConfig `yaml:"metadata"`
	Log      LogConfig      `yaml:"log"`
	Shutdown ShutdownConfig `yaml:"shutdown"`

	// Dev is set by the flag --dev and cannot be written in a file: it changes defaults and lifts
	// rules, as the comments of the settings say.
	Dev bool `yaml:"-"`

	// Places says where the settings were given.
	Places Places `yaml:"-"`
}

// AdminConfig is the management listener.
type AdminConfig struct {
	// Listen is host:port of the management listener over TCP; empty for none. Default
	// 127.0.0.1:8081. Local commands use the socket in the data folder instead. With tls it speaks
	// TLS, with the same certificate. Beyond loopback it needs tls, trusted_proxies or insecure_http.
	Listen string `yaml:"listen"`

	// Hosts are the names, without port, that a request to that listener may carry in Host beside
	// localhost, the issuer's and the address it listens on; any other is refused (DNS rebinding).
	// Default none.
	Hosts []string `yaml:"hosts"`
}

// TLSConfig is the certificate of both listeners, at least TLS 1.2. Both files, or neither.
type TLSConfig struct {
	// CertFile is a PEM file with the certificate and its chain. Default none: plain HTTP.
	CertFile string `yaml:"cert_file"`

	// KeyFile is a PEM file with the certificate's private key. Default none.
	KeyFile string `yaml:"key_file"`
}

// StoreConfig is where records are kept.
type StoreConfig struct {
	// Driver is the kind of store: bolt, one file in the data folder, which one server uses; or redis,
	// which several share, see [RedisConfig]. Default bolt.
	Driver string `yaml:"driver"`

	// Namespace is the prefix of everything that this issuer stores: 1 to 64 of a-z, 0-9, _ and -.
	// Default marque. Another namespace is another, empty, installation.
	Namespace string `yaml:"namespace"`

	// Outage is how long cached records are served after the store last confirmed them, 1s to
	// 1h and longer than keys.refresh_interval; then requests are answered 503. Default 5m.
	Outage Duration `yaml:"outage"`
}

// RedisConfig is the Redis that store.driver redis keeps the records in, and how to get there. With
// another driver, each of its settings must be left at its default: a server that was meant to share
// a store must not start alone because one line is missing.
type RedisConfig struct {
	// Addrs are host:port of the Redis: of the one server; with master_name, of the Sentinels; with
	// cluster, of some nodes, which name the others. Not URLs. Needed with store.driver redis.
	// Default none.
	Addrs []string `yaml:"addrs"`

	// MasterName is the name under which the Sentinels in addrs know the primary. The server follows
	// it to whichever Redis is promoted. Default none: addrs is no Sentinel.
	MasterName string `yaml:"master_name"`

	// Cluster says that addrs are nodes of a Redis Cluster. Excludes master_name. Default false.
	Cluster bool `yaml:"cluster"`

	// Username is the ACL user; it needs a password. Default none: Redis's own user "default".
	Username string `yaml:"username"`

	// PasswordFile is the file with the password of username, or of Redis's requirepass. A line break
	// at its end is not part of the password. Outside --dev it may not be readable by others. Default
	// none; the password may come in MARQUE_REDIS_PASSWORD instead.
	PasswordFile string `yaml:"password_file"`

	// Password is the password itself. It comes from MARQUE_REDIS_PASSWORD only and is never written
	// in a file.
	Password Secret `yaml:"-" secret:"password"`

	// SentinelUsername is the ACL user at the Sentinels, whose users are not those of the Redis; it
	// needs a password. Default none.
	SentinelUsername string `yaml:"sentinel_username"`

	// SentinelPasswordFile is the file with the password at the Sentinels, under the rules of
	// password_file. Default none: nothing is said to them, whatever the Redis wants. The password may
	// come in MARQUE_REDIS_SENTINEL_PASSWORD instead.
	SentinelPasswordFile string `yaml:"sentinel_password_file"`

	// SentinelPassword is that password itself. It comes from MARQUE_REDIS_SENTINEL_PASSWORD only and
	// is never written in a file.
	SentinelPassword Secret `yaml:"-" secret:"sentinel_password"`

	TLS RedisTLSConfig `yaml:"tls"`

	// Timeout is how long one call may take, connecting included, 50ms to 10s and shorter than
	// store.outage; then the store counts as not answering. Default 1s.
	Timeout Duration `yaml:"timeout"`
}

// RedisTLSConfig is how connections to Redis, and to its Sentinels, are encrypted: at least TLS 1.2.
type RedisTLSConfig struct {
	// Enabled says that Redis and Sentinels speak TLS. Without it, whoever is on the way reads the
	// password and all records but sealed keys. Default false.
	Enabled bool `yaml:"enabled"`

	// CAFile is a PEM file with the authorities that may sign their certificates. Default none: those
	// that the system trusts.
	CAFile string `yaml:"ca_file"`

	// CertFile is a PEM file with the certificate, and its chain, that this server shows to them
	// (Redis's tls-auth-clients). Needs key_file. Default none.
	CertFile string `yaml:"cert_file"`

	// KeyFile is a PEM file with the private key of cert_file. Default none.
	KeyFile string `yaml:"key_file"`

	// ServerName is the one name, or address, that all of their certificates must carry, whatever the
	// address that was dialled. Default none: each must carry the host that was dialled; Sentinels and
	// Clusters hand out addresses.
	ServerName string `yaml:"server_name"`
}

// DurabilityConfig is what Redis must have done before a change is acknowledged. The embedded store
// needs no such settings: it has written to the disk when it answers.
type DurabilityConfig struct {
	// Replicas is how many replicas must have a change before it is acknowledged, 0 to 10. What fewer
	// have is answered 503, although it may last. Safe over a failover is every replica that may be
	// promoted: with fewer, one that lacks the change can be. A primary that has lost more than half of
	// them may have been replaced, and counts as a Redis that is away. Needs store.driver redis. Default
	// 0: what the primary has is acknowledged, and lost if another one is promoted before it got it; and
	// a primary that was replaced is believed until it learns of it.
	Replicas int `yaml:"replicas"`

	// Fsync wants a change on the disk of the primary, and of as many replicas, before it is
	// acknowledged (WAITAOF). Needs Redis 7.2 or newer with appendonly on all of them, and, as Redis
	// writes to the disk once a second by default, a timeout of some seconds. Needs store.driver redis.
	// Default false: what they have in memory, and have told the system to write, is enough.
	Fsync bool `yaml:"fsync"`

	// Timeout is how long a change waits for that, 10ms to 10s; then 503. Needs store.driver redis.
	// Default 1s.
	Timeout Duration `yaml:"timeout"`
}

// CacheConfig is the cache of clients and resources in memory.
type CacheConfig struct {
	// MaxAge is how often, at least, the store confirms that the cache is current: 10ms to 1m. A
	// change made elsewhere takes effect within it. Default 1s.
	MaxAge Duration `yaml:"max_age"`

	// Clients is how many clients the cache holds, 1 to 1000000. One more costs a read of the store
	// at each use. Default 10000.
	Clients int `yaml:"clients"`
}

// KeysConfig is about signing keys and what seals them.
type KeysConfig struct {
	// KEKFile is the file with the key-encryption key, base64url of 32 bytes, as marque init makes
	// it. Outside --dev it may not lie in the data folder, nor be readable by others. Default none;
	// the key may come in MARQUE_KEYS_KEK instead. With --dev, kek in the data folder.
	KEKFile string `yaml:"kek_file"`

	// KEK is the key itself. It comes from MARQUE_KEYS_KEK only and is never written in a file.
	KEK Secret `yaml:"-" secret:"kek"`

	// PreviousKEKFiles are files with earlier key-encryption keys. They open what they sealed, and go on
	// sealing until marque key rewrap has moved everything to kek_file. Default none.
	PreviousKEKFiles []string `yaml:"previous_kek_files"`

	// JWKSMaxAge is how long others may cache the JWKS: whole seconds, 1s to 24h, or seconds.
	// Default 5m (2s with --dev).
	JWKSMaxAge Duration `yaml:"jwks_max_age" seconds:"yes"`

	// RefreshInterval is how often the timeline of keys is carried out, 1s to 1h, or seconds.
	// Default 15s (1s with --dev).
	RefreshInterval Duration `yaml:"refresh_interval" seconds:"yes"`

	// PublishLead is how long a key is in the JWKS before it signs, at most 8760h, or seconds. At
	// least jwks_max_age + refresh_interval + leeway, so that every cache knows the key by then.
	// Default 24h (5s with --dev).
	PublishLead Duration `yaml:"publish_lead" seconds:"yes"`

	// Period is how long a key signs before the next one takes over by itself, at most 8760h, or seconds.
	// At least publish_lead + refresh_interval + leeway, since the next key is made when one takes over;
	// and so long that the JWKS stays small. 0: keys rotate by hand only. Default 720h, 30 days.
	Period Duration `yaml:"period" seconds:"yes"`

	// Periods are those of single algorithms, instead of period, such as RS256=2160h; "0" is by hand.
	// Default none.
	Periods []string `yaml:"periods"`

	// Algorithm is what signs tokens of resources that are registered without one, of the management
	// API, and introspection answers for clients without one: ES256, ES384, RS256, PS256 or Ed25519. There are always
	// keys for it; for another one, once a resource or a client has it. What is registered keeps what it
	// was registered with. All servers of a store should have the same. Default ES256.
	Algorithm string `yaml:"algorithm"`

	// Ed25519Name is how Ed25519 is announced, in tokens and the JWKS: EdDSA, which every library
	// reads, or Ed25519 (RFC 9864). It counts for keys that are made from then on. Default EdDSA.
	Ed25519Name string `yaml:"ed25519_name"`
}

// LimitsConfig keeps one caller from starving the rest. All of it is counted in memory.
type LimitsConfig struct {
	// ClientRate is how many tokens a second one client may ask for or revoke, then 429; 0 is no limit.
	// Default 10000.
	ClientRate int `yaml:"client_rate"`

	// SigningQueue is how many requests may wait for a signature at once, then 503: 0 to 1000000.
	// Default 1024.
	SigningQueue int `yaml:"signing_queue"`

	// Failures is how many failed authentications a minute one client may have from one address;
	// further failures are answered 429. 0 is no limit. A correct secret is never refused for it.
	// Default 30.
	Failures int `yaml:"failures"`

	// UnknownTokens is how many tokens that do not carry our signature one caller may have
	// introspected in a minute, then 429; 0 is no limit. Our own tokens never count. On a shared store
	// those count as well that name an unknown key and are to be revoked. Default 300.
	UnknownTokens int `yaml:"unknown_tokens"`

	// TokenRevocations is how many single tokens of one client can be revoked at a time, 1 to 100000;
	// one more voids every token that this client was issued until then. Default 1000.
	TokenRevocations int `yaml:"token_revocations"`

	// FeedStreams is how many streams of the revocation feed this server has open at once, of all clients,
	// 1 to 100000; one more is answered 503. One client has at most 64 of them, then 429. Each takes a
	// connection and about 40 KiB. Default 2000.
	FeedStreams int `yaml:"feed_streams"`
}

// ClaimsConfig is about static claims of clients.
type ClaimsConfig struct {
	// Namespaces are the beginnings that names of static claims may have, such as
	// "https://example.com/". Default none: no client has static claims.
	Namespaces []string `yaml:"namespaces"`
}

// MetadataConfig is about the RFC 8414 document.
type MetadataConfig struct {
	// OpenIDAlias serves the same document at /.well-known/openid-configuration too, for libraries
	// that look nowhere else. Default true.
	OpenIDAlias bool `yaml:"openid_alias"`

	// ResponseTypesPlaceholder lists response_types_supported in the RFC 8414 document, for
	// libraries that insist on it although no grant here has one. Default false.
	ResponseTypesPlaceholder bool `yaml:"response_types_placeholder"`
}

// LogConfig is the log, written to standard error.
type LogConfig struct {
	// Level is the least severe line that is written: debug, info, warn or error. Default info.
	Level string `yaml:"level"`

	// Format is text or json. Default text.
	Format string `yaml:"format"`
}

// ShutdownConfig is how the server stops.
type ShutdownConfig struct {
	// Grace is how long running requests may take to finish after a signal, 0 to 5m. Default 10s.
	Grace Duration `yaml:"grace"`
}

// Defaults returns the settings that hold where nothing else is said. Data is left empty: its
// default hangs on the environment, see [DefaultData].
func Defaults(dev bool) Config {
	c := Config{
		Listen:     "127.0.0.1:8080",
		Admin:      AdminConfig{Listen: "127.0.0.1:8081"},
		Store:      StoreConfig{Driver: "bolt", Namespace: "marque", Outage: Duration(5 * time.Minute)},
		Redis:      RedisConfig{Timeout: Duration(time.Second)},
		Durability: DurabilityConfig{Timeout: Duration(time.Second)},
		Cache:      CacheConfig{MaxAge: Duration(time.Second), Clients: 10_000},
		Keys: KeysConfig{
			JWKSMaxAge:      Duration(5 * time.Minute),
			RefreshInterval: Duration(15 * time.Second),
			PublishLead:     Duration(24 * time.Hour),
			Period:          Duration(30 * 24 * time.Hour),
			Algorithm:       "ES256",
			Ed25519Name:     "EdDSA",
		},
		Leeway:   Duration(30 * time.Second),
		Limits:   LimitsConfig{ClientRate: 10_000, SigningQueue: 1024, Failures: 30, UnknownTokens: 300, TokenRevocations: 1000, FeedStreams: 2000},
		Metadata: MetadataConfig{OpenIDAlias: true},
		Log:      LogConfig{Level: "info", Format: "text"},
		Shutdown: ShutdownConfig{Grace: Duration(10 * time.Second)},
		Dev:      dev,
	}
	if dev {
		c.Keys.JWKSMaxAge = Duration(2 * time.Second)
		c.Keys.RefreshInterval = Duration(time.Second)
		c.Keys.PublishLead = Duration(5 * time.Second)
		c.Leeway = Duration(time.Second)
	}
	return c
}
