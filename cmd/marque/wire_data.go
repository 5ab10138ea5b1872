package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
)

// What lies in the data folder.
const (
	databaseName = "marque.db"
	socketName   = "admin.sock"
	devKEKName   = "kek"                  // --dev alone keeps it there
	sampleName   = "sample-client-secret" // likewise
)

// openData takes the data folder: it is ours alone, and no other server has it.
func (s *server) openData(ctx context.Context) error {
	dir := s.config.Data
	if err := checkSocketPath(filepath.Join(dir, socketName)); err != nil {
		return err
	}
	if !s.config.Dev {
		// Opening would make it: a mistyped folder must not become an empty installation.
		if _, err := os.Stat(filepath.Join(dir, databaseName)); errors.Is(err, fs.ErrNotExist) {
			return noInstallation(dir)
		}
	}
	if err := makeDataFolder(dir, s.config.Dev); err != nil {
		return err
	}
	db, err := openDatabase(s.config, !s.config.Dev, func(text string) { s.log.Warn(text) })
	if err != nil {
		return err
	}
	s.db = db
	s.onClose("the store", func(context.Context) error { return db.Close() })
	if in, err := db.Installation(ctx); err == nil && in.Dev && !s.config.Dev { // before what follows from it is complained of
		return errMadeByDev(dir)
	}
	s.database, err = os.Stat(filepath.Join(dir, databaseName))
	return err
}

// openDatabase opens the database, which it makes unless it must exist.
func openDatabase(c configs.Config, mustExist bool, warn func(text string)) (*boltstore.DB, error) {
	db, err := boltstore.OpenDB(boltstore.Config{
		Path: filepath.Join(c.Data, databaseName), Namespace: c.Store.Namespace, MustExist: mustExist, Warn: warn,
	})
	if errors.Is(err, boltstore.ErrNoInstallation) {
		return nil, fmt.Errorf("%w (looked for the namespace %q)", noInstallation(c.Data), c.Store.Namespace)
	}
	if errors.Is(err, boltstore.ErrLocked) {
		return nil, &inUseError{c.Data, err}
	}
	return db, err
}

// inUseError says that another process has the data folder.
type inUseError struct {
	dir string
	err error
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("the data folder %s is in use by another marque process; stop that one, or name another folder with --data", e.dir)
}

// Unwrap returns what the store said.
func (e *inUseError) Unwrap() error { return e.err }

func noInstallation(dir string) error {
	return fmt.Errorf("%s holds no installation: run 'marque init --data %s --issuer URL --kek-file F' once, or try things out with --dev", dir, dir)
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
		s.installation, s.secrets, err = openInstallation(ctx, s.db, s.config, s.keks)
	}
	if err != nil {
		return unreadableInstallation(s.config.Data, err)
	}
	s.issuer = s.installation.Issuer
	if problem := configs.IssuerProblem(s.issuer, s.config.Dev || s.config.InsecureHTTP, "--insecure-http (insecure_http)"); problem != "" {
		return fmt.Errorf("the issuer %q of the installation in %s %s", s.issuer, s.config.Data, problem)
	}
	envelope, err := store.NewEnvelope(s.secrets.RecordKey, s.config.Store.Namespace)
	if err != nil {
		return err
	}
	if s.store, err = boltstore.New(s.db, envelope); err == nil && s.storeAs != nil {
		s.store = s.storeAs(s.store)
	}
	return err
}

// foundDev returns the installation of a --dev server, which it makes if there is none.
func (s *server) foundDev(ctx context.Context) (keys.Installation, keys.Secrets, error) {
	by := audit.Origin{Actor: audit.System("dev")}
	in, secrets, err := keys.Found(ctx, s.db, s.keks[0], s.devIssuer(), true, s.now(), by)
	if errors.Is(err, keys.ErrIssuer) { // the record is whole, and another start made it
		if made, readErr := s.db.Installation(ctx); readErr == nil {
			in, err = made, errMadeFor(made.Issuer, s.config)
		}
	}
	if in.ID != "" && !in.Dev {
		err = errNotDev(s.config.Data)
	}
	return in, secrets, err
}

// errMadeFor says how to start a --dev server on a folder that was made for another issuer than the
// configuration yields.
func errMadeFor(issuer string, c configs.Config) error {
	u, err := url.Parse(issuer)
	how := "--issuer " + issuer
	if https := c.TLS.CertFile != ""; err == nil && c.Issuer == "" && u.Port() != "" && (u.Scheme == "https") == https {
		how = "--listen " + u.Host
	}
	return fmt.Errorf("this folder was made for %s; start with %s, or name another folder with --data", issuer, how)
}

// unreadableInstallation explains an error that an installation record was read with, if more can be
// said of it: whichever part found the record too new, the remedy is the same.
func unreadableInstallation(dir string, err error) error {
	if errors.Is(err, keys.ErrNewerFormat) || errors.Is(err, store.ErrNewerFormat) {
		return fmt.Errorf("the installation in %s was made by a newer version of marque; run that version, or name another folder with --data (%w)", dir, err)
	}
	return err
}

// withAdvice says of a start that failed over a damaged record what to do.
func withAdvice(err error, dir string) error {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, keys.ErrDamaged) {
		return fmt.Errorf("%w; to see everything that is damaged, run: marque doctor --data %s; then restore the database from a backup, and find out who can write to it",
			err, shellQuote(dir))
	}
	return err
}

func errMadeByDev(dir string) error {
	return fmt.Errorf("%s was made by --dev, for trying things out; start it with --dev, or make an installation to keep in another folder: marque init --data DIR", dir)
}

func errNotDev(dir string) error {
	return fmt.Errorf("%s holds an installation that was not made by --dev, which would lower its guards; start without --dev, or name another folder with --data", dir)
}

// openInstallation reads the record that marque init made. An issuer that the configuration leaves
// out is the record's.
func openInstallation(ctx context.Context, db *boltstore.DB, c configs.Config, keks []*jose.KEK) (keys.Installation, keys.Secrets, error) {
	in, err := db.Installation(ctx)
	if errors.Is(err, keys.ErrNotFound) {
		return in, keys.Secrets{}, noInstallation(c.Data)
	}
	if err != nil {
		return in, keys.Secrets{}, err
	}
	secrets, err := in.Open(keks)
	if err != nil {
		return in, keys.Secrets{}, err
	}
	issuer := c.Issuer
	if issuer == "" {
		issuer = in.Issuer
	}
	return in, secrets, in.Check(issuer, c.Dev)
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
