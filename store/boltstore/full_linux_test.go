package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store/disktest"
)

// TestFullDisk with a disk that others fill and empty again. There a file grows, and fails only when what is behind
// its end is written.
func TestFault_FullDisk(t *testing.T) {
	if !disktest.AloneWithMounts(t) {
		return
	}
	disk := disktest.NewDisk(t, faultTimes(2<<10, 32<<10))
	path := filepath.Join(disk.Folder, "marque.db")
	d := startDistress(t, path)
	for range faultTimes(2, 50) {
		d.during("the disk is full", disk.Fill, disk.Free)
	}
	d.end(path)
}

// A disk that may only be read is told as such, whether there is a file or not, and nothing is made or changed.
func TestOpenDB_ReadOnlyDisk(t *testing.T) {
	if !disktest.AloneWithMounts(t) {
		return
	}
	disk := disktest.NewDisk(t, 2048)
	folder := disk.Folder
	path := filepath.Join(folder, "marque.db")
	db := openTemp(t, Config{Path: path})
	mustPut(t, newStore(t, db), authz.Client{ID: "c"})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	disk.ReadOnly(true)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{Path: path},
		{Path: path, MustExist: true},
		{Path: filepath.Join(folder, "none.db")},
		{Path: filepath.Join(folder, "none", "marque.db")},
	} {
		c.Namespace = "test"
		if _, err := OpenDB(c); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), filepath.Dir(c.Path)) {
			t.Errorf("%+v: got error %v, want EROFS with the path", c, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was written to, %v", err)
	}
	onlyFile(t, path)
	disk.ReadOnly(false)
	if _, err := newStore(t, openTemp(t, Config{Path: path})).Client(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}
