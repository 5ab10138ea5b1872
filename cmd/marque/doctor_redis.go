package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
)

// lookAtFiles looks at the files by which a server gets at Redis: it reads them at its next start. The data
// folder may lie in memory, and its disk may be full: no record is kept there.
func (b *redisBackend) lookAtFiles(d *doctor) {
	if at, ok := fileSystemOf(b.config.Data); ok && at.network {
		d.warning("disk", b.config.Data, "choose a data folder on a local disk, or in memory",
			"lies on a network file system (%s), where locks cannot be relied on: two servers could take the admin socket from each other", at.kind)
	}
	r := b.config.Redis
	for _, file := range []string{r.PasswordFile, r.SentinelPasswordFile} {
		if file == "" {
			continue
		}
		if _, err := readSecretFile("password", file, b.config.Dev); err != nil {
			d.error("files", file, passwordFix(err, file), "the password of Redis cannot be had: %v", err)
			continue
		}
		d.ok("files", file, "holds the password of Redis")
	}
	b.lookAtTLS(d)
}

func passwordFix(err error, file string) string {
	if info, statErr := os.Stat(file); statErr == nil && info.Mode().Perm()&0o077 != 0 {
		return "chmod 600 " + shellWord(file)
	}
	if errors.Is(err, fs.ErrPermission) {
		return "let it belong to the server's user"
	}
	return "put the password into this file, readable by the server's user alone"
}

// lookAtTLS looks at the certificate that is shown to Redis, and says when nothing is encrypted.
func (b *redisBackend) lookAtTLS(d *doctor) {
	const check = "tls"
	t := b.config.Redis.TLS
	if text := passwordInTheClear(b.config.Redis); text != "" {
		d.warning(check, "redis", clearFix, "%s", text)
	}
	c, err := redisTLS(b.config)
	switch {
	case err != nil:
		d.error(check, "redis", "put the file in place; the next start needs it", "%v", err)
		return
	case c == nil || len(c.Certificates) == 0:
		return
	}
	if info, err := os.Stat(t.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		d.error(check, t.KeyFile, "chmod o= "+shellWord(t.KeyFile), "everyone can get at the private key that lets this server into Redis: mode %04o", info.Mode().Perm())
	}
	if leaf := leafOf(c.Certificates[0]); leaf != nil {
		d.lookAtDates(check, t.CertFile, leaf)
	}
}

func (b *redisBackend) lookAtLock(d *doctor) {
	const check = "lock"
	path := filepath.Join(b.config.Data, lockName)
	if d.server != nil {
		d.lookAtHeldLock(path, "a second server could take the admin socket away from this one")
		return
	}
	if held, err := lockHeld(path); err == nil && held {
		d.error(check, path, "look for that process, and end it", "a process has the data folder and does not answer on the socket")
		return
	}
	d.ok(check, path, "no server has the data folder")
}

// explain says why Redis could not be opened.
func (b *redisBackend) explain(d *doctor, err error) {
	var wrong *settingError
	switch {
	case errors.As(err, &wrong):
		fix := wrong.advice
		if fix == "" {
			fix = "correct it, or the Redis"
		}
		d.error("store", wrong.named, fix, "%s", wrong.problem)
	case b.away(err):
		d.error("store", b.place().name, "start Redis, or correct redis.addrs", "%v", err)
	default:
		d.error("store", b.place().name, d.openFix(err), "%v", err)
	}
}

// warning is nil: lookAtStore says it all.
func (b *redisBackend) warning(*doctor) func(string) { return nil }

// lookAtStore asks Redis whether it may be trusted with records, and what time it is.
func (r *redisDatabase) lookAtStore(ctx context.Context, d *doctor) {
	const check = "store"
	at := r.backend.address()
	found, err := r.Examine(ctx)
	if err != nil {
		d.error(check, at, "see to it that Redis answers; the server's log says since when it does not", "cannot be asked: %v", err)
		return
	}
	for _, f := range found {
		d.all = append(d.all, finding{check, admin.Level(f.Level), at, f.Message, f.Fix})
	}
	r.lookAtClock(ctx, d)
}

// clockApart is a difference from the clock of the store that is worth a word; beyond authz.MaxSkew the
// server issues nothing.
const clockApart = time.Second

func (r *redisDatabase) lookAtClock(ctx context.Context, d *doctor) {
	const check = "clock"
	const fix = "set the clock of this machine, and that of Redis, and let a time daemon keep both"
	asked := d.now()
	at, err := r.Clock(ctx)
	if err != nil {
		d.error(check, r.backend.address(), "see to it that Redis answers", "its clock cannot be read: %v", err)
		return
	}
	answered := d.now()
	off := asked.Add(answered.Sub(asked) / 2).Sub(at)
	switch {
	case off.Abs() > authz.MaxSkew:
		d.error(check, r.backend.address(), fix, "the clock here differs from that of Redis by %s: this server issues no tokens", off.Round(time.Millisecond))
	case off.Abs() > clockApart+answered.Sub(asked):
		d.warning(check, r.backend.address(), fix, "the clock here differs from that of Redis by %s; beyond %s this server issues no tokens", off.Round(time.Millisecond), authz.MaxSkew)
	default:
		d.ok(check, r.backend.address(), "the clock here is that of Redis, within %s", clockApart)
	}
}
