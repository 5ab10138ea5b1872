package configs

import (
	"regexp"
	"slices"
	"strings"
)

const (
	variablePrefix     = "MARQUE_"
	gateVariablePrefix = "MARQUE_GATE_"
)

// The variables with the prefix that are no settings.
const (
	VariableKEK                   = "MARQUE_KEYS_KEK"                // the key-encryption key itself
	VariableRedisPassword         = "MARQUE_REDIS_PASSWORD"          // the password at the Redis itself
	VariableRedisSentinelPassword = "MARQUE_REDIS_SENTINEL_PASSWORD" // the password at its Sentinels itself
	VariableClientSecret          = "MARQUE_CLIENT_SECRET"           // read by marque token get
)

// orchestrated matches what Kubernetes and Docker put into every container beside a service that is
// called marque, or marque-something: MARQUE_SERVICE_HOST, MARQUE_ADMIN_PORT_8081_TCP_ADDR. Refusing
// them would keep Marque from starting for a reason that its user never wrote.
var orchestrated = regexp.MustCompile(`^MARQUE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$`)

// environ applies every variable with the prefix. A name that is no setting is reported: a typo in
// MARQUE_TLS_CERT_FILE must not start a server without TLS.
func (l *loader) environ(environ []string) {
	paths := map[string]string{}
	for path := range l.settings {
		paths[l.of.variable(path)] = path
	}
	for path := range l.secrets {
		paths[l.of.variable(path)] = path
	}
	values := map[string]string{}
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, l.of.prefix) {
			values[name] = value
		}
	}
	for _, name := range sortedKeys(values) {
		path, ok := paths[name]
		secret, confidential := l.secrets[path]
		switch from := (source{text: name}); {
		case confidential:
			l.secret(from, secret, values[name])
		case ok:
			l.fromVariable(from, path, values[name])
		case name == VariableClientSecret || orchestrated.MatchString(name) || l.isGates(name):
		default:
			l.problem(from, "", "is not a setting%s", didYouMean(name, sortedKeys(paths)))
		}
	}
}

// isGates reports whether a variable is for a gate that runs beside this server.
func (l *loader) isGates(name string) bool {
	return l.of.prefix == variablePrefix && strings.HasPrefix(name, gateVariablePrefix)
}

// fromVariable applies one variable. A list is comma-separated, with spaces around commas dropped;
// an empty variable is an empty list, and for everything else the same as an absent one, because
// orchestrators cannot unset what an image has set.
func (l *loader) fromVariable(from source, path, value string) {
	if !l.settings[path].list() {
		if value != "" {
			l.set(from, path, value)
		}
		return
	}
	values := []string{}
	if value != "" {
		for v := range strings.SplitSeq(value, ",") {
			values = append(values, strings.TrimSpace(v))
		}
	}
	l.set(from, path, values...)
}

func (l *loader) secret(from source, s confidential, value string) {
	if value == "" {
		return
	}
	*s.field = NewSecret(value)
	l.of.sources[s.path] = from
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
