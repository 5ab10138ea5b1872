package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// explain says of an error of opening whether a setting is wrong, or nobody answers that could be used.
// What is neither stays what it is: damage, a newer format, no installation.
func (c Config) explain(err error) error {
	for _, known := range []error{ErrUnreachable, ErrNoInstallation, store.ErrDamaged, store.ErrNewerFormat, context.Canceled} {
		if errors.Is(err, known) {
			return err
		}
	}
	if wrong := (*ConfigError)(nil); errors.As(err, &wrong) {
		return err
	}
	if wrong := c.setting(err); wrong != nil {
		return wrong
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, strings.Join(c.Addrs, ", "), err)
}

// setting returns the setting that an answer complains of; nil if it is none.
func (c Config) setting(err error) error {
	said := func(prefix string) bool {
		return redis.HasErrorPrefix(err, prefix) || strings.Contains(err.Error(), ": "+prefix+" ")
	}
	sentinel := c.MasterName != "" && strings.Contains(err.Error(), "sentinel")
	name := "redis.password_file"
	if sentinel {
		name = "redis.sentinel_password_file"
	}
	switch {
	case said("WRONGPASS") && c.Username != "" && !sentinel:
		return &ConfigError{"redis.username", fmt.Errorf("redis does not let the user %q in with this password (redis.password_file): %w", c.Username, err)}
	case said("WRONGPASS"):
		return &ConfigError{name, fmt.Errorf("the password is wrong: %w", err)}
	case said("NOAUTH"):
		return &ConfigError{name, fmt.Errorf("redis wants a password: %w", err)}
	case said("NOPERM"):
		return &ConfigError{"redis.username", fmt.Errorf("redis does not give this user the rights that it needs: %w", err)}
	case c.Cluster && strings.Contains(err.Error(), "cluster support disabled"):
		return &ConfigError{"redis.cluster", fmt.Errorf("set it to false: the server is not part of a Redis Cluster: %w", err)}
	case said("ERR AUTH <password> called without any password configured"):
		return &ConfigError{name, fmt.Errorf("a password is given, and redis has none: %w", err)}
	}
	return c.tlsSetting(err)
}

// tlsSetting is setting for what goes wrong before anything is said.
func (c Config) tlsSetting(err error) error {
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &name):
		return &ConfigError{"redis.tls.server_name", fmt.Errorf("the certificate of redis is for another name: %w", err)}
	case errors.As(err, &unknown):
		return &ConfigError{"redis.tls.ca_file", fmt.Errorf("the certificate of redis is not of an authority that is trusted: %w", err)}
	case errors.As(err, &invalid):
		return &ConfigError{"redis.tls.ca_file", fmt.Errorf("the certificate of redis is not valid: %w", err)}
	case errors.As(err, &header):
		return &ConfigError{"redis.tls.enabled", fmt.Errorf("redis does not speak TLS there: %w", err)}
	case errors.As(err, &alert):
		return &ConfigError{"redis.tls.cert_file", fmt.Errorf("redis refuses this client's certificate, or the lack of one: %w", err)}
	}
	return nil
}
