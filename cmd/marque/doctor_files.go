package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/marque-auth/marque/keys"
)

// minFree is how much room, in bytes, the disk of the data folder must have for writes to go on.
const (
	littleFree = 256 << 20
	noFree     = 16 << 20
)

// lookAtFiles checks who can get at the files, and whether what they lie on can keep them.
func (d *doctor) lookAtFiles() {
	d.lookAtFolder()
	d.backend.lookAtFiles(d)
	if d.config.Dev {
		for _, name := range []string{devKEKName, sampleName} {
			if _, err := os.Lstat(filepath.Join(d.config.Data, name)); err == nil {
				d.lookAtPrivateFile(filepath.Join(d.config.Data, name), "")
			}
		}
	}
	d.lookAtSocket()
}

func (d *doctor) lookAtFolder() {
	const check = "files"
	dir := d.config.Data
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		d.error(check, dir, "name the data folder with --data", "cannot be looked at: %v", err)
		return
	case info.Mode().Perm()&0o077 != 0 && d.config.Dev:
		d.warning(check, dir, "chmod 700 "+shellWord(dir), "others can get at the data folder: mode %04o", info.Mode().Perm())
	case info.Mode().Perm()&0o077 != 0:
		d.error(check, dir, "chmod 700 "+shellWord(dir), "others can get at the data folder: mode %04o; the next start refuses it", info.Mode().Perm())
	default:
		d.ok(check, dir, "the data folder has mode %04o", info.Mode().Perm())
	}
	d.lookAtOwner(dir, info)
}

// lookAtOwner wants what the server keeps to be its user's: another one could give it any mode. When
// no server runs, it is the folder's user whom the rest must belong to.
func (d *doctor) lookAtOwner(path string, info fs.FileInfo) {
	owner, ok := ownerOf(info)
	if !ok {
		return
	}
	want := uint32(os.Geteuid())
	if d.server == nil {
		folder, err := os.Stat(d.config.Data)
		if err != nil {
			return
		}
		want, _ = ownerOf(folder)
	}
	if owner != want {
		d.error("files", path, "as root: chown "+uid(want)+" "+shellWord(path), "belongs to user %d, and the server runs as user %d", owner, want)
	}
}

// lookAtPrivateFile checks a file that nobody but the server's user may read.
func (d *doctor) lookAtPrivateFile(path, whenGone string) {
	const check = "files"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		d.error(check, path, whenGone, "cannot be looked at: %v", err)
		return
	case !info.Mode().IsRegular():
		d.error(check, path, "", "is no regular file")
		return
	case info.Mode().Perm()&0o077 != 0:
		d.error(check, path, "chmod 600 "+shellWord(path), "others can get at it: mode %04o", info.Mode().Perm())
	default:
		d.ok(check, path, "mode %04o", info.Mode().Perm())
	}
	d.lookAtOwner(path, info)
}

// lookAtSocket checks that local commands can reach the server, and nobody else.
func (d *doctor) lookAtSocket() {
	const check = "files"
	path := filepath.Join(d.config.Data, socketName)
	info, err := os.Lstat(path)
	switch {
	case d.server == nil && errors.Is(err, fs.ErrNotExist):
		d.ok(check, path, "there is no socket, and no server runs")
	case d.server == nil && err == nil && info.Mode().Type() == fs.ModeSocket:
		d.ok(check, path, "a server that was killed left it; the next start replaces it")
	case err != nil:
		d.error(check, path, "restart the server", "cannot be looked at, so local commands cannot reach the server: %v", err)
	case info.Mode().Type() != fs.ModeSocket:
		d.error(check, path, "move it away, and restart the server", "is no socket: nothing listens there, and no server starts")
	case info.Mode().Perm()&0o077 != 0:
		d.error(check, path, "chmod 600 "+shellWord(path), "whoever can connect is an admin, and others can: mode %04o", info.Mode().Perm())
	default:
		d.ok(check, path, "mode %04o", info.Mode().Perm())
	}
}

// lookAtDisk checks whether the records that lie in the data folder last.
func (d *doctor) lookAtDisk() {
	const check = "disk"
	dir := d.config.Data
	at, ok := fileSystemOf(dir)
	if !ok {
		return
	}
	switch {
	case at.memory && !d.config.Dev:
		d.warning(check, dir, "move the data folder to a disk", "lies in memory (%s): everything is lost when the machine stops", at.kind)
	case at.network:
		d.warning(check, dir, "move the data folder to a local disk",
			"lies on a network file system (%s), where locks and writes cannot be relied on: two servers could write at once", at.kind)
	default:
		d.ok(check, dir, "lies on %s", at.kind)
	}
	switch {
	case at.free < noFree:
		d.error(check, dir, "make room", "the disk is full (%d MiB left): changes and revocations fail", at.free>>20)
	case at.free < littleFree:
		d.warning(check, dir, "make room", "the disk is almost full: %d MiB left", at.free>>20)
	default:
		d.ok(check, dir, "%d MiB are free", at.free>>20)
	}
}

// lookAtHeldLock tries to take the lock that the running server has: if that works, the file system does
// not keep locks, and nothing keeps a second server away. harm is what that one could do.
func (d *doctor) lookAtHeldLock(path, harm string) {
	const check = "lock"
	switch held, err := lockHeld(path); {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		d.warning(check, path, "", "cannot be looked at: %v", err)
	case !held:
		d.error(check, path, "move the data folder to a local disk", "the lock of the running server does not hold: %s", harm)
	default:
		d.ok(check, path, "the server holds the lock")
	}
}

// lookAtKEK checks the files of the key-encryption keys, and that the present one opens this
// installation: the next start needs them.
func (d *doctor) lookAtKEK() {
	const check = "kek"
	c := d.config
	if c.Dev && c.Keys.KEKFile == "" && c.Keys.KEK.IsZero() {
		c.Keys.KEKFile = filepath.Join(c.Data, devKEKName)
	}
	for _, file := range append([]string{c.Keys.KEKFile}, c.Keys.PreviousKEKFiles...) {
		if file == "" {
			continue
		}
		kek, err := readKEKFile(c, file)
		switch {
		case err != nil:
			d.error(check, file, kekFix(err, file), "%v", err)
		case file == c.Keys.KEKFile && d.installation.ID != "" && kek.ID() != d.installation.KEKID:
			d.warning(check, file, "keep the earlier key among keys.previous_kek_files until everything is wrapped anew",
				"this key is %s, and the installation was sealed by %s", kek.ID(), d.installation.KEKID)
		default:
			d.ok(check, file, "holds the key %s", kek.ID())
		}
	}
	if c.Keys.KEKFile == "" && !c.Keys.KEK.IsZero() {
		d.ok(check, "", "the key-encryption key comes from the environment")
	}
}

func kekFix(err error, file string) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "restore your copy of it"
	}
	if errors.Is(err, keys.ErrKEK) {
		if info, statErr := os.Stat(file); statErr == nil && info.Mode().Perm()&0o077 != 0 {
			return "chmod 600 " + shellWord(file)
		}
		return "restore your copy of it"
	}
	return "keep it outside the data folder, readable by the server's user alone"
}
