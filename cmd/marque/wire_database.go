package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// backend is one kind of store, as store.driver names it. Each driver has one implementation, and
// nothing else in this package knows the drivers.
type backend interface {
	// place is where the installation lies.
	place() place

	// shared reports whether other servers may have the same installation open.
	shared() bool

	// look finds what is wrong before anything is made or asked. Opening makes what need not exist: a
	// mistyped folder must not become an empty installation.
	look(mustExist bool) error

	// take makes the data folder, which exists, this server's own until release is called, unless
	// opening does so. A folder that another server has is an *inUseError.
	take() (release func() error, err error)

	// open opens the store, and makes it unless it must exist: then errNoInstallation says that there is
	// none. It waits for nobody.
	open(ctx context.Context, o opening) (database, error)

	// away reports whether an error, of opening or of a call, passes by itself once the store is back.
	away(err error) bool

	// passes reports whether an error of a call may be over when the call is made again, though somebody may
	// have to see to the store meanwhile: nothing here needs to be started anew.
	passes(err error) bool

	// refuses reports whether an error of a write says that the store takes none now, though it answers.
	refuses(err error) bool

	// lookAtFiles and lookAtLock add to doctor's findings what is this driver's in the data folder.
	lookAtFiles(d *doctor)
	lookAtLock(d *doctor)

	// explain adds why the store could not be opened; warning makes findings of what opening warns of, or
	// is nil where lookAtStore says it anyway.
	explain(d *doctor, err error)
	warning(d *doctor) func(text string)
}

// opening is how a store is opened.
type opening struct {
	mustExist bool
	moving    bool              // also one that is closed or half imported: see store.Mover
	warn      func(text string) // told of what an operator should know of a store that is usable
	calls     *storeCalls       // measures the calls of a store that lies elsewhere; may be nil
}

// database is an open store, of which the installation record can be read. Everything else needs what is
// sealed in that.
type database interface {
	keys.Genesis
	store.Mover

	// State says whether the store is in use, closed, or half imported.
	State(ctx context.Context) (store.State, error)

	// Epoch is the random name of the store.
	Epoch() string

	// records opens the rest.
	records(env *store.Envelope) (store.Store, error)

	// lookAtStore adds to doctor's findings what the store says of itself.
	lookAtStore(ctx context.Context, d *doctor)

	// backup copies the store after it has recorded e; an admin.ErrNoBackup where that is not ours to do.
	backup(ctx context.Context, e audit.Entry) (admin.Backup, error)

	// Close lets go of the store.
	Close() error
}

// place is where an installation lies, in the words of messages.
type place struct {
	name      string // which place it is
	here      string // what kind of place, where the reader knows which
	elsewhere string // how to name another one
	keep      string // how to make an installation to keep beside one that --dev made
	make      string // the command that makes an installation there
	missing   string // what else there is to say of one that is not there; may be empty
	doctor    string // the command that looks at it
	anew      string // what a --dev server without its key-encryption key can do
}

// newBackend returns the kind of store that the configuration names.
func newBackend(c configs.Config) backend {
	if c.Store.Driver == "redis" {
		return &redisBackend{config: c}
	}
	return &boltBackend{config: c}
}

// errNoInstallation says that nobody has made an installation in that place.
var errNoInstallation = errors.New("no installation")

// saidError is an error whose message is whole: what it wraps is for errors.Is alone.
type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }

// Unwrap returns what kind of error it is.
func (e *saidError) Unwrap() error { return e.err }

func (p place) noInstallation() error {
	text := fmt.Sprintf("%s holds no installation: run '%s --issuer URL --kek-file F' once, or try things out with --dev", p.name, p.make)
	if p.missing != "" {
		text += "; " + p.missing
	}
	return &saidError{text, errNoInstallation}
}

// unreadable explains an error that an installation record was read with, if more can be said of it:
// whichever part found the record too new, the remedy is the same.
func (p place) unreadable(err error) error {
	if errors.Is(err, keys.ErrNewerFormat) || errors.Is(err, store.ErrNewerFormat) {
		return fmt.Errorf("the installation in %s was made by a newer version of marque; run that version, or %s (%w)", p.name, p.elsewhere, err)
	}
	return err
}

func (p place) madeByDev() error {
	return fmt.Errorf("%s was made by --dev, for trying things out; start it with --dev, or %s", p.name, p.keep)
}

func (p place) notDev() error {
	return fmt.Errorf("%s holds an installation that was not made by --dev, which would lower its guards; start without --dev, or %s", p.name, p.elsewhere)
}

// madeFor says how to start a --dev server on what was made for another issuer than the configuration
// yields.
func (p place) madeFor(issuer string, c configs.Config) error {
	u, err := url.Parse(issuer)
	how := "--issuer " + issuer
	if https := c.TLS.CertFile != ""; err == nil && c.Issuer == "" && u.Port() != "" && (u.Scheme == "https") == https {
		how = "--listen " + u.Host
	}
	return fmt.Errorf("%s was made for %s; start with %s, or %s", p.here, issuer, how, p.elsewhere)
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

// errLocked is what an *inUseError of any driver wraps.
var errLocked = errors.New("another process holds the lock")
