package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// doctor looks at one installation, in the running server or, when none runs, in its place. It
// changes nothing.
type doctor struct {
	findings
	config configs.Config
	now    func() time.Time

	backend      backend
	db           database
	store        store.Store
	keks         []*jose.KEK
	installation keys.Installation
	issuer       string

	server *server // nil: none runs
}

// examine looks at everything, from inside the server.
func (s *server) examine(ctx context.Context) []finding {
	c := withFullPaths(s.config)
	d := &doctor{
		config: c, now: s.now, backend: newBackend(c), db: s.db, store: s.store, keks: s.keks,
		installation: s.installation, issuer: s.issuer, server: s,
	}
	if in, err := s.db.Installation(ctx); err == nil { // another key may seal it by now
		d.installation = in
	}
	d.lookAtFiles()
	d.lookAtKEK()
	d.lookAtRest(ctx)
	return d.all
}

// lookAtRest is what needs the records.
func (d *doctor) lookAtRest(ctx context.Context) {
	d.backend.lookAtLock(d)
	d.db.lookAtStore(ctx, d)
	d.lookAtInstallation(ctx)
	d.lookAtRecords(ctx)
	d.lookAtClock(ctx)
	d.lookAtKeys(ctx)
	if d.server != nil {
		d.lookAtFollower()
	}
	d.lookAtCertificate()
	d.lookAtListeners(ctx)
	d.lookAtIssuer(ctx)
}

// examineFolder looks at a data folder that no server runs on. The error is of what stands in the way
// of looking at all. dev returns the configuration that serve --dev would have.
func examineFolder(ctx context.Context, c configs.Config, dev func() (configs.Config, error)) ([]finding, error) {
	if err := newBackend(c).look(true); errors.Is(err, errNoInstallation) {
		return nil, err
	}
	// What --dev made is looked at as what it is; only --dev keeps its key there.
	if _, err := os.Lstat(filepath.Join(c.Data, devKEKName)); err == nil && c.Keys.KEKFile == "" && c.Keys.KEK.IsZero() {
		c.Dev = true
	}
	c = withFullPaths(c)
	d := &doctor{config: c, now: time.Now, backend: newBackend(c)}
	d.lookAtFiles()
	if err := d.open(ctx); err != nil {
		d.lookAtKEK()
		d.backend.explain(d, err)
		return d.all, nil
	}
	defer d.db.Close()
	if d.installation.Dev { // only --dev starts it, whose windows are shorter
		if c, err := dev(); err == nil {
			d.config = withFullPaths(c)
		}
	}
	d.lookAtKEK()
	d.lookAtRest(ctx)
	return d.all, nil
}

// withFullPaths makes findings read the same wherever the reader stands.
func withFullPaths(c configs.Config) configs.Config {
	for _, path := range []*string{
		&c.Data, &c.Keys.KEKFile, &c.TLS.CertFile, &c.TLS.KeyFile,
		&c.Redis.PasswordFile, &c.Redis.SentinelPasswordFile, &c.Redis.TLS.CAFile, &c.Redis.TLS.CertFile, &c.Redis.TLS.KeyFile,
	} {
		if abs, err := filepath.Abs(*path); err == nil && *path != "" {
			*path = abs
		}
	}
	return c
}

// open opens the store and what the installation record sealed. After an error nothing is open.
func (d *doctor) open(ctx context.Context) (err error) {
	d.db, err = d.backend.open(ctx, opening{mustExist: true, warn: d.backend.warning(d)})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.db.Close())
		}
	}()
	if d.installation, err = d.db.Installation(ctx); errors.Is(err, keys.ErrNotFound) {
		return d.backend.place().noInstallation()
	}
	if err != nil {
		return err
	}
	c := d.config
	if c.Dev && c.Keys.KEKFile == "" && c.Keys.KEK.IsZero() {
		c.Keys.KEKFile = filepath.Join(c.Data, devKEKName)
	}
	if d.keks, err = readKEKs(c); err != nil {
		return err
	}
	secrets, err := d.installation.Open(d.keks)
	if err != nil {
		return err
	}
	d.issuer = d.installation.Issuer
	if c.Issuer != "" && c.Issuer != d.issuer {
		d.error("issuer", c.Issuer, "correct the issuer in the configuration, or "+d.backend.place().elsewhere,
			"the configuration says %s, and the installation was made for %s; it does not start", c.Issuer, d.issuer)
	}
	envelope, err := store.NewEnvelope(secrets.RecordKey, c.Store.Namespace)
	if err != nil {
		return err
	}
	d.store, err = d.db.records(envelope)
	return err
}

func (d *doctor) openFix(err error) string {
	switch {
	case errors.Is(err, errLocked):
		return "a process has the database open and does not answer on the socket: look for it, and end it"
	case errors.Is(err, errNoInstallation):
		return "name the place of the installation, or make one"
	case errors.Is(err, errNoKEK), errors.Is(err, keys.ErrKEK), errors.Is(err, os.ErrNotExist):
		return "name the key-encryption key: without it no record can be authenticated"
	}
	return d.recordFix(err)
}

func uid(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (a *app) doctorCommand() *cobra.Command {
	var p *printer
	var settings *settingFlags
	conn := &connection{app: a}
	cmd := verb("doctor", "Look for what is wrong, or will be: each finding with its fix", func(cmd *cobra.Command, _ []string) error {
		found, err := a.examination(cmd.Context(), conn, settings)
		if err != nil {
			return err
		}
		if err := p.print(found, func(w io.Writer) { judgement(w, found) }); err != nil {
			return err
		}
		if n := countLevel(found, client.FindingLevelError); n > 0 {
			return fmt.Errorf("%d of %d findings %s", n, len(found), map[bool]string{true: "is an error", false: "are errors"}[n == 1])
		}
		return nil
	})
	cmd.Long = "Looks at the installation through the running server, or directly when none runs: every record\n" +
		"against its authentication code, the logs (readable and without gaps; their entries have no such\n" +
		"code), files and their modes, the disk and the lock, the clock, signing keys against the settings,\n" +
		"certificate, listeners, and what is really served at the issuer. A record that was removed cannot\n" +
		"be missed, unless something else refers to it. Changes nothing. Exit code 1 if a finding is an error."
	conn.remote.flags(cmd)
	settings = a.settings(cmd, "data", "kek-file", "store")
	p = a.printing(cmd)
	return cmd
}

// examination asks the running server, or looks itself when none runs.
func (a *app) examination(ctx context.Context, conn *connection, settings *settingFlags) ([]client.Finding, error) {
	var local configs.Config
	if !conn.remote.given() {
		c, err := settings.load(false)
		if err != nil {
			return nil, err
		}
		local, conn.data = c.Config, c.Data
	}
	api, err := conn.open()
	if err != nil {
		return nil, err
	}
	r, err := api.DoctorWithResponse(ctx)
	switch {
	case err != nil && !conn.remote.given() && (errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		found, err := examineFolder(ctx, local, func() (configs.Config, error) {
			c, err := settings.load(true)
			if err != nil {
				return configs.Config{}, err
			}
			return c.Config, nil
		})
		return spoken(found), err
	case err != nil:
		return nil, conn.failed(err)
	case r.JSON200 == nil:
		return nil, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
	}
	return nonNil(r.JSON200.Findings), nil
}

// spoken returns findings as the management API writes them, so that --json prints one form.
func spoken(found []finding) []client.Finding {
	all := []client.Finding{}
	for _, f := range found {
		all = append(all, client.Finding{
			Check: f.Check, Level: client.FindingLevel(f.Level), Subject: given(f.Subject), Message: given(f.Message), Fix: given(f.Fix),
		})
	}
	return all
}
