package redistest

// Option changes how a server is started.
type Option func(*settings)

type settings struct {
	args          []string
	password      string
	users         []string // "NAME RULE"
	sentinelUsers []string
	tls           *tlsFiles
	memoryOnly    bool
}

type tlsFiles struct{ cert, key, ca string }

func settingsOf(options []Option) settings {
	var s settings
	for _, o := range options {
		o(&s)
	}
	return s
}

// Args appends arguments to the server's command line, such as "--maxmemory", "10mb". They win over
// everything else that is set here, and come again at each Restart.
func Args(args ...string) Option {
	return func(s *settings) { s.args = append(s.args, args...) }
}

// Password makes the default user need a password (requirepass).
func Password(p string) Option {
	return func(s *settings) { s.password = p }
}

// ACL adds a user, or with "default" replaces the default one's rights. The rule is that of ACL
// SETUSER, such as "on >secret ~app:* +@all".
func ACL(user, rule string) Option {
	return func(s *settings) { s.users = append(s.users, user+" "+rule) }
}

// SentinelACL is [ACL] for the Sentinels of [StartSentinel]; ACL itself is for the servers that they watch.
func SentinelACL(user, rule string) Option {
	return func(s *settings) { s.sentinelUsers = append(s.sentinelUsers, user+" "+rule) }
}

// TLS makes the server speak nothing but TLS, with a certificate and key (PEM files) that clients can
// check by ca. Clients may show a certificate issued by ca and need none: Args("--tls-auth-clients",
// "yes") demands one.
func TLS(cert, key, ca string) Option {
	return func(s *settings) { s.tls = &tlsFiles{cert, key, ca} }
}

// NoPersistence keeps all data in memory alone: a Restart begins empty.
func NoPersistence() Option {
	return func(s *settings) { s.memoryOnly = true }
}
