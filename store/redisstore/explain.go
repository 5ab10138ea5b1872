package redisstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// explain says of an error of opening whether a setting is wrong, or nobody answers that could be used.
// What is neither stays what it is: damage, a newer format, no installation.
func (c Config) explain(ctx context.Context, err error) error {
	for _, known := range []error{ErrNoInstallation, store.ErrDamaged, store.ErrNewerFormat, store.ErrClosed, store.ErrUnfinished, context.Canceled} {
		if errors.Is(err, known) {
			return err
		}
	}
	if wrong := (*ConfigError)(nil); errors.As(err, &wrong) {
		return err
	}
	if wrong := cmpError(c.setting(err), c.tlsSetting(ctx, err)); wrong != nil {
		return wrong
	}
	where := strings.Join(c.Addrs, ", ")
	if errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("%s: %w", where, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, where, err)
}

func cmpError(all ...*ConfigError) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// said reports whether an error has an answer of Redis in it that begins so. Several Sentinels give several.
func said(err error, prefix string) bool {
	if answer, ok := err.(redis.Error); ok && redis.HasErrorPrefix(answer, prefix) { //nolint:errorlint // it walks itself
		return true
	}
	switch e := err.(type) { //nolint:errorlint // it walks itself
	case interface{ Unwrap() error }:
		return said(e.Unwrap(), prefix)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if said(one, prefix) {
				return true
			}
		}
	}
	return false
}

// setting returns the setting that an answer complains of; nil if it is none.
func (c Config) setting(err error) *ConfigError {
	user, username, password := c.Username, "redis.username", "redis.password_file"
	if c.MasterName != "" && strings.Contains(err.Error(), "all sentinels specified in configuration are unreachable") {
		user, username, password = c.SentinelUsername, "redis.sentinel_username", "redis.sentinel_password_file"
		switch {
		case errors.Is(err, redis.Nil):
			return &ConfigError{"redis.master_name", fmt.Errorf("the Sentinels know no primary of the name %q", c.MasterName)}
		case said(err, "unknown command 'sentinel'"):
			return &ConfigError{"redis.master_name", errors.New("what is at redis.addrs is a Redis and no Sentinel: name the Sentinels there, or set no name")}
		}
	}
	switch {
	case said(err, "WRONGPASS") && user != "":
		return &ConfigError{username, fmt.Errorf("redis does not let the user %q in with this password (%s): %w", user, password, err)}
	case said(err, "WRONGPASS"):
		return &ConfigError{password, fmt.Errorf("the password is wrong: %w", err)}
	case said(err, "NOAUTH"):
		return &ConfigError{password, fmt.Errorf("redis wants a password: %w", err)}
	case said(err, "NOPERM"):
		return &ConfigError{username, fmt.Errorf("redis does not give this user the rights that it needs: %w", err)}
	case said(err, openToAll):
		return &ConfigError{password, fmt.Errorf("a password is given, and redis has none: %w", err)}
	case c.Cluster && said(err, "This instance has cluster support disabled"):
		return &ConfigError{"redis.cluster", errors.New("set it to false: the server is not part of a Redis Cluster")}
	}
	return nil
}

// openToAll is how Redis answers AUTH where everybody gets in without a password.
const openToAll = "AUTH <password> called without any password configured"

// tlsSetting is setting for what goes wrong before anything is said.
func (c Config) tlsSetting(ctx context.Context, err error) *ConfigError {
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case c.TLS == nil:
		return nil
	case errors.As(err, &name):
		return &ConfigError{"redis.tls.server_name", fmt.Errorf("the certificate of redis is for another name: %w", err)}
	case errors.As(err, &unknown):
		return &ConfigError{"redis.tls.ca_file", fmt.Errorf("the certificate of redis is not of an authority that is trusted: %w", err)}
	case errors.As(err, &invalid):
		return &ConfigError{"redis.tls.ca_file", fmt.Errorf("the certificate of redis is not valid: %w", err)}
	case errors.As(err, &alert) && alert.Op == "remote error":
		return alertSetting(err)
	case errors.As(err, &header), errors.Is(err, context.DeadlineExceeded) && c.speaksPlainly(ctx):
		return &ConfigError{"redis.tls.enabled", fmt.Errorf("redis does not speak TLS there: %w", err)}
	}
	return nil
}

// alertSetting reads an alert of TLS, by which a server says why it goes no further. Most are about the
// client's certificate; one that was not shown is a failure of the handshake in TLS 1.2.
func alertSetting(err error) *ConfigError {
	switch text := err.Error(); {
	case strings.Contains(text, "unrecognized name"):
		return &ConfigError{"redis.tls.server_name", fmt.Errorf("redis has no certificate for this name: %w", err)}
	case strings.Contains(text, "protocol version"), strings.Contains(text, "insufficient security"), strings.Contains(text, "internal error"):
		return &ConfigError{"redis.tls.enabled", fmt.Errorf("redis does not speak TLS as this server does: %w", err)}
	}
	return &ConfigError{"redis.tls.cert_file", fmt.Errorf("redis refuses this client's certificate, or the lack of one: %w", err)}
}

// speaksPlainly reports whether an address answers without TLS. A Redis that is spoken to by TLS where it
// knows none waits for the end of a line, and says nothing.
func (c Config) speaksPlainly(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, min(c.CallTimeout, plainly))
	defer cancel()
	for _, addr := range c.Addrs {
		if answersPlainly(ctx, addr) {
			return true
		}
	}
	return false
}

const plainly = 250 * time.Millisecond

func answersPlainly(ctx context.Context, addr string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 64)
	n, _ := conn.Read(answer)
	for _, known := range []string{"+PONG", "-NOAUTH", "-NOPERM", "-DENIED", "-LOADING"} {
		if bytes.HasPrefix(answer[:n], []byte(known)) {
			return true
		}
	}
	return false
}
