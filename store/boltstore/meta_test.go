package boltstore

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// A head page that is not whole is told, whichever it is, and no other damage or none at all is.
func TestWarn_HeadPage(t *testing.T) {
	page := int64(os.Getpagesize())
	for name, c := range map[string]struct {
		at   int64 // the octet that is changed
		want string
	}{
		"none":          {-1, ""},
		"first, magic":  {metaOffset, "number 0"},
		"first, sum":    {metaOffset + metaSummed, "number 0"},
		"second, root":  {page + metaOffset + 16, "number 1"},
		"second, count": {page + metaOffset + 48, "number 1"},
		"behind it":     {page + metaOffset + metaSummed + 8, ""},
	} {
		path := closedFile(t, "test")
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if c.at >= 0 {
			var b [1]byte
			_, err1 := f.ReadAt(b[:], c.at)
			b[0] ^= 0x10
			if _, err2 := f.WriteAt(b[:], c.at); err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		var warned []string
		warn := func(text string) { warned = append(warned, text) }
		// A file of two commits: with one head page gone the earlier may not hold the namespace yet.
		db, err := OpenDB(Config{Path: path, Namespace: "test", Warn: warn})
		if err != nil {
			t.Errorf("%s: OpenDB: %v", name, err)
			continue
		}
		mustPut(t, newStore(t, db), authz.Client{ID: "c"})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		switch got := strings.Join(warned, "\n"); {
		case c.want == "" && got != "":
			t.Errorf("%s: warned of %q", name, got)
		case c.want != "" && (len(warned) != 1 || !strings.Contains(got, c.want) || !strings.HasPrefix(got, path)):
			t.Errorf("%s: warned %q, want one about %s with the path", name, warned, c.want)
		}
		// The commits above have written both.
		mustPut(t, newStore(t, openTemp(t, Config{Path: path})), authz.Client{ID: "d"})
	}
}

// Both head pages gone is damage that nothing falls back from, however the file came by it, and it is said with what to do.
func TestOpenDB_NoHeadPage(t *testing.T) {
	page := os.Getpagesize()
	for name, spoil := range map[string]func(file []byte) []byte{
		"both, sum":        func(b []byte) []byte { b[metaOffset+metaSummed] ^= 1; b[page+metaOffset+metaSummed] ^= 1; return b },
		"both, magic":      func(b []byte) []byte { b[metaOffset] ^= 1; b[page+metaOffset] ^= 1; return b },
		"both, zeroed":     func(b []byte) []byte { clear(b[:2*page]); return b },
		"cut in the first": func(b []byte) []byte { return b[:page/2] },
		"cut before it":    func(b []byte) []byte { return b[:metaOffset] },
		"one octet":        func(b []byte) []byte { return b[:1] },
	} {
		path := closedFile(t, "test")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, spoil(file), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, mustExist := range []bool{false, true} {
			_, err := OpenDB(Config{Path: path, Namespace: "test", MustExist: mustExist})
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore it from a backup") {
				t.Errorf("%s: got error %v, want ErrDamaged with the path and what to do", name, err)
			}
		}
	}
}
