package disktest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// AloneWithMounts is [Alone] in a process that can make a [Disk]. Where the system does not let everybody do that the
// test is skipped.
func AloneWithMounts(t *testing.T) bool {
	t.Helper()
	return alone(t, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	})
}

// Disk is a small file system of its own, in memory. It goes with the test.
type Disk struct {
	// Folder is where it is mounted. Its path is short.
	Folder string
	t      testing.TB
}

// NewDisk makes one with room for so many KiB, in a process that is [AloneWithMounts].
func NewDisk(t testing.TB, kib int) *Disk {
	t.Helper()
	folder, err := os.MkdirTemp("", "disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(folder) })
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=0700", kib)); err != nil {
		t.Skipf("NOT TESTED: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return &Disk{folder, t}
}

func (d *Disk) other() string { return filepath.Join(d.Folder, "of-somebody-else") }

// Fill takes all the room that is left.
func (d *Disk) Fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.other(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	for piece := make([]byte, 4096); err == nil; {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Errorf("got error %v, want ENOSPC", err)
	}
	if err := f.Close(); err != nil {
		d.t.Error(err)
	}
}

// Free gives back what Fill took.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.other()); err != nil {
		d.t.Error(err)
	}
}

// ReadOnly lets nobody write to it any more, or again. No file on it may be open for writing.
func (d *Disk) ReadOnly(yes bool) {
	d.t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if yes {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("", d.Folder, "", flags, ""); err != nil {
		d.t.Fatal(err)
	}
}
