package boltstore

import (
	"os"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
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
