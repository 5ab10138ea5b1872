package main

import (
	"context"
	"errors"
	"time"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// lookAtInstallation reads the installation record again and authenticates it.
func (d *doctor) lookAtInstallation(ctx context.Context) {
	const check = "records"
	in, err := d.db.Installation(ctx)
	if err == nil {
		_, err = in.Open(d.keks)
	}
	if err != nil {
		d.error(check, "installation", d.recordFix(err), "%v", err)
		return
	}
	d.ok(check, "installation", "is whole, and that of %s", in.Issuer)
	if in.Dev {
		d.warning(check, "installation", "for anything that matters, make one with marque init",
			"was made by --dev: its keys and secrets lie beside the data, and plain http is admitted")
	}
}

// lookAtRecords authenticates every record that has a code, and reads the logs, which have none: who can
// write to the disk can change what they say. A damaged one is named: it is never treated as absent.
func (d *doctor) lookAtRecords(ctx context.Context) {
	const check = "records"
	bad := 0
	read, err := d.store.Inspect(ctx, func(err error) {
		bad++
		var at *store.RecordError
		if errors.As(err, &at) {
			d.error(check, string(at.Kind)+" "+at.Key, d.recordFix(err), "%v: %s", at.Err, at.Reason)
			return
		}
		d.error(check, "", d.recordFix(err), "%v", err)
	})
	switch {
	case err != nil:
		d.error(check, d.backend.place().name, d.recordFix(err), "the records cannot be read: %v", err)
	case bad > 0:
		d.error(check, d.backend.place().name, d.recordFix(store.ErrDamaged), "%d of %d records and log entries cannot be used", bad, read.Records+read.Entries)
	default:
		d.ok(check, d.backend.place().name, "%d records, each with the authentication code of this installation", read.Records)
		d.ok(check, d.backend.place().name, "%d entries of the audit log and the change feed, readable and none missing; they carry no authentication code", read.Entries)
	}
}

func (d *doctor) recordFix(err error) string {
	if d.backend.away(err) {
		return "see to it that the store answers, and look again; nothing is said against the records"
	}
	if errors.Is(err, store.ErrClosed) {
		return "use the place to which it was moved; marque export --reopen undoes that, until the export was imported as a complete one"
	}
	if errors.Is(err, store.ErrUnfinished) {
		return "run marque import again with the same file; to give it up, name another place"
	}
	if errors.Is(err, store.ErrNewerFormat) || errors.Is(err, keys.ErrNewerFormat) {
		return "run the newer version of marque that wrote it"
	}
	if errors.Is(err, keys.ErrWrongKEK) {
		return "name the key-encryption key that sealed it: keys.kek_file, or keys.previous_kek_files"
	}
	return "stop the server and restore the database from a backup; find out who can write to it"
}

// lookAtClock holds the clock to what the store says of the past, and to time as it went by.
func (d *doctor) lookAtClock(ctx context.Context) {
	const check = "clock"
	const fix = "set the clock, and let a time daemon keep it"
	now := d.now()
	newest := d.installation.CreatedAt
	entries, _, err := d.store.Latest(ctx, "", 1)
	if err != nil {
		d.error(check, "", d.recordFix(err), "the audit log cannot be read: %v", err)
		return
	}
	if len(entries) > 0 && entries[0].Time.After(newest) {
		newest = entries[0].Time
	}
	leeway := max(time.Duration(d.config.Leeway), time.Second)
	if behind := newest.Sub(now); behind > leeway {
		d.error(check, "", fix, "the clock says %s, and the newest entry of the audit log is of %s: the clock is at least %s behind",
			instant(&now), instant(&newest), shortDuration(behind.Round(time.Second)))
		return
	}
	if d.server != nil {
		if jump := clockJump(d.server.started, time.Now()); jump.Abs() > max(leeway, minClockJump) {
			d.warning(check, "", fix+"; then restart the server", "the clock was moved by %s since the server started", jump.Round(time.Second))
			return
		}
	}
	d.ok(check, "", "the clock says %s; the newest entry of the audit log is of %s", instant(&now), instant(&newest))
}

// lookAtFollower checks that the running server knows what the store knows.
func (d *doctor) lookAtFollower() {
	const check = "server"
	s := d.server
	age := d.now().Sub(s.confirmedAt())
	switch limit := max(5*time.Duration(d.config.Cache.MaxAge), 10*time.Second); {
	case age > time.Duration(d.config.Store.Outage):
		d.error(check, s.issuer, "read the server's log; it says why the store cannot be followed",
			"the store was last heard of %s ago, longer than store.outage: requests are answered 503", shortDuration(age.Round(time.Second)))
	case age > limit:
		d.error(check, s.issuer, "read the server's log; it says why the store cannot be followed",
			"the store was last heard of %s ago; after store.outage (%s) requests are answered 503", shortDuration(age.Round(time.Second)), d.config.Store.Outage)
	default:
		d.ok(check, s.issuer, "follows the store; %d revocations are in force", s.index.Len())
	}
}
