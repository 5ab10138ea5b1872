//go:build linux || darwin

package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

const sector = 512 // what a disk writes whole or not at all

// faultTimes is long where FAULT=long asks for that, as `make fault` does.
func faultTimes(short, long int) int {
	if os.Getenv("FAULT") == "long" {
		return long
	}
	return short
}

// commit is what one write changed in the file.
type commit struct {
	id            string // of the write
	before, after []byte // all of the file
}

// pages returns the numbers of the pages that it changed, head pages not among them.
func (c commit) pages() (pages []int) {
	size := os.Getpagesize()
	for at := 2 * size; at < len(c.after); at += size {
		if at >= len(c.before) || !bytes.Equal(c.before[at:at+size], c.after[at:at+size]) {
			pages = append(pages, at/size)
		}
	}
	return pages
}

// head returns where the head page lies that it wrote.
func (c commit) head(t *testing.T) int {
	t.Helper()
	for at := range 2 {
		at *= os.Getpagesize()
		if !bytes.Equal(c.before[at:at+os.Getpagesize()], c.after[at:at+os.Getpagesize()]) {
			return at
		}
	}
	t.Fatalf("%s wrote no head page", c.id)
	return 0
}

// cutOff is the file after a crash in the middle of the commit: some sectors of its pages were written, and the
// head page, which is written after they were synced, was not. If all of them were, a part of the head page may be.
func (c commit) cutOff(t *testing.T, r *rand.Rand) []byte {
	t.Helper()
	file := bytes.Clone(c.before)
	if len(c.after) > len(file) && r.IntN(4) > 0 { // it is made longer before
		file = append(file, make([]byte, len(c.after)-len(file))...)
	}
	all := r.IntN(3) == 0
	for _, page := range c.pages() {
		for at := page * os.Getpagesize(); at < (page+1)*os.Getpagesize(); at += sector {
			if all || r.IntN(2) == 0 {
				file = append(file, make([]byte, max(0, at+sector-len(file)))...)
				copy(file[at:at+sector], c.after[at:])
			}
		}
	}
	if all {
		head, n := c.head(t), r.IntN(2*(metaOffset+metaSummed+8))
		copy(file[head:head+n], c.after[head:])
	}
	return file
}

// commits makes a file by writes of all kinds, one after the other, and returns the last ones.
func commits(t *testing.T, k killed, writes, last int) (all []commit) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "marque.db")
	s := newStore(t, openTemp(t, Config{Path: path}))
	read := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for n := range writes {
		a := killActs[n%len(killActs)]
		c := commit{id: fmt.Sprintf("%s-r0-w0-%d", a.name, n)}
		if n >= writes-last {
			c.before = read()
		} else {
			k.acknowledged[c.id] = true
		}
		k.begun[c.id] = true
		if err := a.act(s, 0, c.id); err != nil {
			t.Fatal(err)
		}
		if n >= writes-last {
			c.after = read()
			all = append(all, c)
		}
	}
	return all
}

// TestFault_TornCommit writes files as a crash leaves them that cuts a commit off anywhere: what was acknowledged
// before is there, of the write that was cut off nothing, or all of it, and writing goes on. The operator is told if
// a head page is not whole.
func TestFault_TornCommit(t *testing.T) {
	k := killed{t: t, begun: map[string]bool{}, acknowledged: map[string]bool{}}
	r := rand.New(rand.NewPCG(1, 2))
	torn, each := faultTimes(15, 50), faultTimes(3, 20)
	files, whole, told, found, lost := 0, 0, 0, 0, 0
	for _, c := range commits(t, k, 60+torn, torn) {
		if n := len(c.pages()); n < 3 {
			t.Fatalf("%s changed %d pages: nothing is torn", c.id, n)
		}
		for range each {
			path := filepath.Join(t.TempDir(), "marque.db")
			if err := os.WriteFile(path, c.cutOff(t, r), 0o600); err != nil {
				t.Fatal(err)
			}
			var warned []string
			db, err := OpenDB(Config{Path: path, Namespace: "test", MustExist: true, Warn: func(text string) { warned = append(warned, text) }})
			if err != nil {
				t.Fatalf("%s, cut off: %v", c.id, err)
			}
			s := newStore(t, db)
			n, gone := k.count(s)
			for _, id := range gone {
				t.Errorf("%s was acknowledged and is lost when %s is cut off", id, c.id)
			}
			files, found, lost, whole, told = files+1, found+n, lost+len(gone), whole+n-len(k.acknowledged), told+len(warned)
			again := map[string]bool{"revoke-again": true}
			if err := killActs[1].act(s, 0, "revoke-again"); err != nil {
				t.Errorf("the next write: %v", err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			after := killed{t: t, begun: merged(k.begun, again), acknowledged: merged(k.acknowledged, again)}
			if _, gone := after.count(newStore(t, openTemp(t, Config{Path: path}))); len(gone) != 0 {
				t.Errorf("after the next write %q are lost", gone)
			}
			if t.Failed() {
				return
			}
		}
		k.acknowledged[c.id] = true // and it is there in what comes next
	}
	t.Logf("%d files with a commit that was cut off (in %d all of it was there, %d head pages were not whole): written %d, acknowledged %d; over all files found %d, lost %d",
		files, whole, told, len(k.begun), len(k.acknowledged), found, lost)
	if told == 0 || whole == files {
		t.Error("nothing was torn")
	}
}

func merged(a, b map[string]bool) map[string]bool {
	all := map[string]bool{}
	for _, m := range []map[string]bool{a, b} {
		for id := range m {
			all[id] = true
		}
	}
	return all
}

// garbledEnv holds the folder of the files that a child is to read.
const garbledEnv = "MARQUE_BOLTSTORE_TEST_GARBLED"

// garbled is the file after its disk lost or spoiled some of what it had said to be written: the head page is whole.
func (c commit) garbled(r *rand.Rand) (how string, file []byte) {
	file = bytes.Clone(c.after)
	pages, size := c.pages(), os.Getpagesize()
	page := pages[r.IntN(len(pages))]
	at := page * size
	switch r.IntN(4) {
	case 0:
		return "cut", file[:at+r.IntN(size)]
	case 1:
		clear(file[at : at+size])
		return "zeroed", file
	case 2:
		for range 1 + r.IntN(64) {
			file[at+r.IntN(size)] = byte(r.Uint32())
		}
		return "garbled", file
	}
	old := make([]byte, size)
	if at < len(c.before) {
		old = c.before[at : at+size]
	}
	for sectors, i := 1+r.IntN(size/sector), 0; i < sectors; i++ {
		n := r.IntN(size/sector) * sector
		copy(file[at+n:at+n+sector], old[n:])
	}
	return "partly old", file
}

// TestFault_GarbledCommit spoils pages of the last commit after it was acknowledged, which no crash does. Most of that is
// noticed, and what is read is what was stored once. Since bbolt's pages have no sums a few records may seem absent, and
// since its pages lead it anywhere, the files are read by another process: see README.md.
func TestFault_GarbledCommit(t *testing.T) {
	k := killed{t: t, begun: map[string]bool{}, acknowledged: map[string]bool{}}
	r := rand.New(rand.NewPCG(3, 4))
	folder, garbled := t.TempDir(), faultTimes(40, 2000)
	all := commits(t, k, 60+len(killActs), len(killActs))
	var files []string
	for n := range garbled {
		how, file := all[n%len(all)].garbled(r)
		name := fmt.Sprintf("%d %s after %s", n, how, all[n%len(all)].id)
		files = append(files, name)
		if err := os.WriteFile(filepath.Join(folder, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verdicts := map[string]int{}
	for len(files) > 0 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), garbledEnv+"="+folder)
		child.Stdin = strings.NewReader(strings.Join(files, "\n"))
		out, err := child.Output()
		said := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, verdict := range said {
			if verdict == "" {
				continue
			}
			if strings.HasPrefix(verdict, "false") {
				t.Errorf("%s: %s", files[0], verdict)
			}
			verdicts[verdict]++
			files = files[1:]
		}
		if err != nil && len(files) > 0 {
			what := "the process died"
			if child.ProcessState.ExitCode() == endlessExit {
				what = "reading did not end"
			}
			verdicts[what]++
			t.Logf("%s: %s: %v", files[0], what, err)
			files = files[1:]
		}
	}
	t.Logf("%d files: %v", garbled, verdicts)
	if silent := verdicts[nothingMissing] + verdicts[silentlyAbsent]; silent > garbled/2 {
		t.Errorf("of %d files nothing was noticed", silent)
	}
}

// Verdicts on a file of which nobody noticed anything. What was spoiled may be nothing that is read.
const (
	nothingMissing = "nothing was missing"
	silentlyAbsent = "not noticed, and something seemed absent"
)

// A page that leads to itself is read for ever.
const (
	endlessAfter = 10 * time.Second
	endlessExit  = 3
)

// readGarbled reads the files that standard input names and says of each whether anything of its damage was noticed.
func readGarbled(folder string) {
	names, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	for name := range strings.Lines(string(names)) {
		endless := time.AfterFunc(endlessAfter, func() { os.Exit(endlessExit) })
		verdict := judge(filepath.Join(folder, strings.TrimSuffix(name, "\n")))
		endless.Stop()
		fmt.Println(verdict)
	}
}

func judge(path string) string {
	ctx := context.Background()
	db, err := OpenDB(Config{Path: path, Namespace: "test", MustExist: true})
	if err != nil {
		return "refused at the start"
	}
	defer func() { _ = db.Close() }()
	env, err := store.NewEnvelope([32]byte{1, 2, 3}, "test")
	if err != nil {
		return "false: " + err.Error()
	}
	s, err := New(db, env)
	if err != nil {
		return "false: " + err.Error()
	}
	var noticed, absent int
	look := func(err error) {
		switch {
		case errors.Is(err, authz.ErrNotFound):
			absent++
		case err != nil:
			noticed++
		}
	}
	for n := range 60 {
		a := killActs[n%len(killActs)].name
		id := fmt.Sprintf("%s-r0-w0-%d", a, n)
		switch a {
		case "create":
			c, err := s.Client(ctx, authz.ClientID(id))
			look(err)
			if err == nil && (string(c.ID) != id || len(c.Credentials) != 1) {
				return fmt.Sprintf("false: %+v for %s", c, id)
			}
			_, err = s.ClientOf(ctx, authz.CredentialID("k-"+id))
			look(err)
		case "revoke":
			found, err := s.Revocations(ctx, []token.Subject{{Kind: token.RevokedJTI, Value: id}})
			look(err)
			if err == nil && len(found) != 1 {
				absent++
			}
		case "resource":
			_, err := s.Resource(ctx, authz.ResourceID(id))
			look(err)
		}
	}
	_, _, err1 := s.Entries(ctx, "", 1000)
	_, err2 := s.ListRevocations(ctx, "", 1000)
	_, err3 := s.ListClients(ctx, authz.ClientQuery{Limit: 1000})
	look(err1)
	look(err2)
	look(err3)
	inspected := 0
	if _, err := s.Inspect(ctx, func(error) { inspected++ }); err != nil {
		inspected++
	}
	switch {
	case noticed > 0 && absent > 0:
		return "noticed by reads, and something seemed absent"
	case noticed > 0:
		return "noticed by reads"
	case inspected > 0 && absent > 0:
		return "noticed by Inspect alone, and something seemed absent"
	case inspected > 0:
		return "noticed by Inspect alone"
	case absent > 0:
		return silentlyAbsent
	}
	return nothingMissing
}
