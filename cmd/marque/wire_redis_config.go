package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store/redisstore"
)

// redisConfig translates the settings, and reads the files that they name.
func redisConfig(c configs.Config) (redisstore.Config, error) {
	r := c.Redis
	password, err := redisPassword(c, "redis.password_file", r.PasswordFile, r.Password)
	if err != nil {
		return redisstore.Config{}, err
	}
	sentinelPassword, err := redisPassword(c, "redis.sentinel_password_file", r.SentinelPasswordFile, r.SentinelPassword)
	if err != nil {
		return redisstore.Config{}, err
	}
	encrypted, err := redisTLS(c)
	if err != nil {
		return redisstore.Config{}, err
	}
	return redisstore.Config{
		Namespace:        c.Store.Namespace,
		Addrs:            slices.Clone(r.Addrs),
		MasterName:       r.MasterName,
		Cluster:          r.Cluster,
		Username:         r.Username,
		Password:         password,
		SentinelUsername: r.SentinelUsername,
		SentinelPassword: sentinelPassword,
		TLS:              encrypted,
		Replicas:         c.Durability.Replicas,
		Fsync:            c.Durability.Fsync,
		Timeout:          time.Duration(c.Durability.Timeout),
		CallTimeout:      time.Duration(r.Timeout),
	}, nil
}

// redisPassword is the password of a setting: from its variable, its file, or none.
func redisPassword(c configs.Config, setting, file string, given configs.Secret) (string, error) {
	if file == "" || !given.IsZero() {
		return given.Reveal(), nil
	}
	password, err := readSecretFile("password", file, c.Dev)
	if err != nil {
		return "", at(c.Places, setting, err)
	}
	return password, nil
}

// readSecretFile reads what, a password say, from a regular file that, outside --dev, nobody but its owner may use.
// One line end after it is not part of it.
func readSecretFile(what, file string, dev bool) (string, error) {
	// Looked at before it is opened: opening a named pipe would wait for a writer.
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // of the open file, which nobody can exchange any more
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && !dev {
		return "", fmt.Errorf("%s has mode %04o, so that others can read the %s; run: chmod 600 %s", file, mode, what, shellWord(file))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretInput+1))
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > maxSecretInput:
		return "", fmt.Errorf("%s is larger than %d bytes, and no %s", file, maxSecretInput, what)
	case password == "":
		return "", fmt.Errorf("%s is empty", file)
	case strings.ContainsFunc(password, unicode.IsControl):
		return "", fmt.Errorf("%s holds a line break or another control character in the middle, and so no %s", file, what)
	}
	return password, nil
}

// redisTLS is how to speak TLS, at least 1.2; nil for plain TCP.
func redisTLS(config configs.Config) (*tls.Config, error) {
	t := config.Redis.TLS
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, at(config.Places, "redis.tls.ca_file", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, at(config.Places, "redis.tls.ca_file", fmt.Errorf("%s holds no certificate in PEM", t.CAFile))
		}
	}
	if t.CertFile == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, at(config.Places, "redis.tls.cert_file", fmt.Errorf("read the certificate (redis.tls.cert_file, redis.tls.key_file): %w", err))
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// passwordInTheClear says which passwords can be read on their way to another machine; empty if none.
func passwordInTheClear(r configs.RedisConfig) string {
	has := r.PasswordFile != "" || !r.Password.IsZero() || r.SentinelPasswordFile != "" || !r.SentinelPassword.IsZero()
	for _, a := range r.Addrs {
		if has && !r.TLS.Enabled && !configs.Loopback(a) {
			return "the password of Redis can be read on its way to " + a + ", and so can everything but sealed keys; " + clearFix
		}
	}
	return ""
}

const clearFix = "let Redis speak TLS and set redis.tls.enabled, unless nobody else is on that network"
