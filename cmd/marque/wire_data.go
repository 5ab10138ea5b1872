package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// What lies in the data folder.
const (
	databaseName = "marque.db"
	socketName   = "admin.sock"
	lockName     = "lock"                 // of a server whose store is elsewhere
	devKEKName   = "kek"                  // --dev alone keeps it there
	sampleName   = "sample-client-secret" // likewise
)

// openData takes the data folder: it is ours alone, and no other server has it. An embedded store comes
// with it.
func (s *server) openData(ctx context.Context) error {
	dir := s.config.Data
	if err := checkSocketPath(filepath.Join(dir, socketName)); err != nil {
		return err
	}
	s.backend = newBackend(s.config)
	s.shared = s.shared || s.backend.shared()
	if err := s.backend.look(!s.config.Dev); err != nil {
		return err
	}
	if err := makeDataFolder(dir, s.config.Dev); err != nil {
		return err
	}
	release, err := s.backend.take()
	if err != nil {
		return err
	}
	s.onClose("the data folder", func(context.Context) error { return release() })
	if s.backend.shared() {
		return nil
	}
	return s.connect(ctx)
}

// connect opens the store, unless it is open. One that is shared comes only when this server listens, so
// that it can say that it waits.
func (s *server) connect(ctx context.Context) error {
	if s.db != nil {
		return nil
	}
	db, err := s.backend.open(ctx, opening{mustExist: !s.config.Dev, warn: func(text string) { s.log.Warn(text) }, calls: s.calls})
	if err != nil {
		return err
	}
	s.db = db
	s.onClose("the store", func(context.Context) error { return db.Close() })
	if in, err := db.Installation(ctx); err == nil && in.Dev && !s.config.Dev { // before what follows from it is complained of
		return s.backend.place().madeByDev()
	}
	return nil
}

// makeDataFolder makes the folder, or looks whether the one that is there is private. --dev accepts
// one that is not: what it holds is for trying things out.
func makeDataFolder(dir string, dev bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("look at the data folder: %w", err)
	case !info.IsDir():
		return fmt.Errorf("the data folder %s is not a folder", dir)
	case !dev && info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the data folder %s has mode %04o, so that others can get at it; run: chmod 700 %s", dir, info.Mode().Perm(), shellQuote(dir))
	}
	return nil
}

// unseal reads the installation record, which --dev makes by itself, and opens the store with what
// was sealed in it.
func (s *server) unseal(ctx context.Context) error {
	var err error
	if s.keks, err = s.keyEncryptionKeys(ctx); err != nil {
		return err
	}
	if s.config.Dev {
		s.installation, s.secrets, err = s.foundDev(ctx)
	} else {
		s.installation, s.secrets, err = s.openInstallation(ctx)
	}
	if err != nil {
		return s.backend.place().misfit(ctx, s.db, s.config, err)
	}
	s.issuer = s.installation.Issuer
	if problem := configs.IssuerProblem(s.issuer, s.config.Dev || s.config.InsecureHTTP, "--insecure-http (insecure_http)"); problem != "" {
		return fmt.Errorf("the issuer %q of the installation in %s %s", s.issuer, s.backend.place().name, problem)
	}
	envelope, err := store.NewEnvelope(s.secrets.RecordKey, s.config.Store.Namespace)
	if err != nil {
		return err
	}
	if s.store, err = s.db.records(envelope); err == nil && s.storeAs != nil {
		s.store = s.storeAs(s.store)
	}
	if err != nil {
		return err
	}
	s.plain = s.store
	s.store = &noted{
		Store: s.plain, refused: &s.refusedWrite, refuses: s.backend.refuses, now: s.commonNow,
		durable: s.config.Durability.Replicas > 0 || s.config.Durability.Fsync,
	}
	return nil
}

// foundDev returns the installation of a --dev server, which it makes if there is none.
func (s *server) foundDev(ctx context.Context) (keys.Installation, keys.Secrets, error) {
	by := audit.Origin{Actor: audit.System("dev")}
	in, secrets, err := keys.Found(ctx, s.db, s.keks[0], s.devIssuer(), true, s.now(), by)
	if errors.Is(err, keys.ErrIssuer) { // the record is whole, and another start made it
		if made, readErr := s.db.Installation(ctx); readErr == nil {
			in, err = made, s.backend.place().madeFor(made.Issuer, s.config)
		}
	}
	if in.ID != "" && !in.Dev {
		err = s.backend.place().notDev()
	}
	return in, secrets, err
}

// withAdvice says of a start that failed over a damaged record what to do.
func (s *server) withAdvice(err error) error {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, keys.ErrDamaged) {
		return fmt.Errorf("%w; to see everything that is damaged, run: %s; then restore the database from a backup, and find out who can write to it",
			err, s.backend.place().doctor)
	}
	return err
}

// openInstallation reads the record that marque init made. An issuer that the configuration leaves
// out is the record's.
func (s *server) openInstallation(ctx context.Context) (keys.Installation, keys.Secrets, error) {
	in, err := s.db.Installation(ctx)
	if errors.Is(err, keys.ErrNotFound) {
		return in, keys.Secrets{}, s.backend.place().noInstallation()
	}
	if err != nil {
		return in, keys.Secrets{}, err
	}
	secrets, err := in.Open(s.keks)
	if err != nil {
		return in, keys.Secrets{}, err
	}
	issuer := s.config.Issuer
	if issuer == "" {
		issuer = in.Issuer
	}
	return in, secrets, in.Check(issuer, s.config.Dev)
}

// devIssuer is the issuer of a --dev server: the one that was given, or where it listens.
func (s *server) devIssuer() string {
	if s.config.Issuer != "" {
		return s.config.Issuer
	}
	host, _, _ := net.SplitHostPort(s.config.Listen)
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost" // every interface is no name that a client could call
	}
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	scheme := "http://"
	if s.config.TLS.CertFile != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}
