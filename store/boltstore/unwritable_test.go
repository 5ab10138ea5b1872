//go:build linux || darwin

package boltstore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/disktest"
)

// A file that cannot be written for a while, or cannot grow, fails writes and nothing else: no part of them stays,
// what was acknowledged is there, reads go on, and so do writes once it can be written again.
func TestFault_Unwritable(t *testing.T) {
	if !disktest.Alone(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "marque.db")
	d := startDistress(t, path)
	none, half, all := func() uint64 { return 0 }, func() uint64 { return sizeOf(t, path) / 2 }, func() uint64 { return sizeOf(t, path) }
	for range faultTimes(1, 20) {
		for _, trouble := range []struct {
			name   string
			octets func() uint64
		}{
			{"nothing can be written", none},
			{"half of a write can be", half},
			{"half, again", half},
			{"it cannot grow", all},
		} {
			d.during(trouble.name, func() { disktest.LimitFiles(t, trouble.octets()) }, func() { disktest.LimitFiles(t, math.MaxUint64) })
		}
	}
	d.end(path)
}

func sizeOf(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(info.Size())
}

// distress is what writers and a reader of a file in trouble have seen.
type distress struct {
	t       *testing.T
	s       *Store
	stop    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	seen    killed
	refused int
	made    string                     // the last client whose creation was acknowledged
	acks    [distressWriters]int       // of each writer
	lastAck [distressWriters]time.Time // when each writer was acknowledged last
	// The longest time between two acknowledgements of a writer, until a write was refused, and until a read was answered.
	pause, refusal, read time.Duration
}

const distressWriters = 4

// startDistress makes the file and begins to write to it and to read it.
func startDistress(t *testing.T, path string) *distress {
	t.Helper()
	d := &distress{
		t: t, s: newStore(t, openTemp(t, Config{Path: path})), stop: make(chan struct{}),
		seen: killed{t: t, begun: map[string]bool{}, acknowledged: map[string]bool{}},
	}
	for writer := range distressWriters {
		d.lastAck[writer] = time.Now()
		d.running.Go(func() { d.until(func(n int) { d.writes(writer, n) }) })
	}
	d.running.Go(func() { d.until(func(int) { d.reads() }) })
	return d
}

func (d *distress) until(does func(n int)) {
	for n := 0; ; n++ {
		select {
		case <-d.stop:
			return
		default:
			does(n)
		}
	}
}

func (d *distress) writes(writer, n int) {
	a := killActs[(n+writer)%len(killActs)]
	id := fmt.Sprintf("%s-r0-w%d-%d", a.name, writer, n)
	d.mu.Lock()
	d.seen.begun[id] = true
	d.mu.Unlock()
	began := time.Now()
	err := a.act(d.s, writer, id)
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.refused++
		d.refusal = max(d.refusal, now.Sub(began))
		if errors.Is(err, authz.ErrConflict) || errors.Is(err, authz.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
			d.t.Errorf("%s: got error %v, want a fault that passes", id, err)
		}
		if !errors.As(err, new(syscall.Errno)) { // by that a server tells its operator that the disk takes no writes
			d.t.Errorf("%s: the error %v does not wrap what the system said", id, err)
		}
		return
	}
	d.seen.acknowledged[id] = true
	if a.name == "create" {
		d.made = id
	}
	d.acks[writer]++
	d.pause = max(d.pause, now.Sub(d.lastAck[writer]))
	d.lastAck[writer] = now
}

// reads wants the client that was made last, what was revoked with it, and the feed.
func (d *distress) reads() {
	d.mu.Lock()
	id := d.made
	d.mu.Unlock()
	if id == "" {
		return
	}
	began := time.Now()
	_, err1 := d.s.Client(d.t.Context(), authz.ClientID(id))
	found, err2 := d.s.Revocations(d.t.Context(), []token.Subject{{Kind: token.RevokedClient, Value: id}})
	head, err3 := d.s.Head(d.t.Context())
	_, _, err4 := d.s.Changes(d.t.Context(), head, 10)
	took := time.Since(began)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read = max(d.read, took)
	if err := errors.Join(err1, err2, err3, err4); err != nil || len(found) != 1 {
		d.t.Errorf("read %s: %d revocations, %v", id, len(found), err)
	}
}

// during lets some writes succeed, some be refused while the trouble lasts, and each writer succeed after it.
func (d *distress) during(what string, begin, end func()) {
	d.t.Helper()
	d.goesOn("before " + what)
	d.mu.Lock()
	refused := d.refused
	d.mu.Unlock()
	begin()
	d.await(what, func() bool { return d.refused >= refused+4*distressWriters })
	end()
	d.goesOn("after " + what)
}

// goesOn returns when each writer was acknowledged what it began after the call.
func (d *distress) goesOn(what string) {
	d.t.Helper()
	d.mu.Lock()
	before := d.acks
	d.mu.Unlock()
	d.await(what, func() bool {
		for writer, n := range d.acks {
			if n < before[writer]+2 {
				return false
			}
		}
		return true
	})
}

// await returns when the condition, which is looked at under the lock, holds.
func (d *distress) await(what string, condition func() bool) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		done := condition()
		d.mu.Unlock()
		switch {
		case done:
			return
		case time.Now().After(end) || d.t.Failed():
			close(d.stop)
			d.running.Wait()
			d.t.Fatalf("%s: it did not go on; %d were refused, %d acknowledged", what, d.refused, len(d.seen.acknowledged))
		}
	}
}

// end opens the file anew and counts.
func (d *distress) end(path string) {
	d.t.Helper()
	close(d.stop)
	d.running.Wait()
	if err := d.s.db.Close(); err != nil {
		d.t.Fatal(err)
	}
	found, lost := d.seen.count(newStore(d.t, openTemp(d.t, Config{Path: path})))
	for _, id := range lost {
		d.t.Errorf("%s was acknowledged and is lost", id)
	}
	d.t.Logf("written %d, acknowledged %d, refused %d, found %d, lost %d; longest: read %v, refusal %v, pause between acknowledgements %v",
		len(d.seen.begun), len(d.seen.acknowledged), d.refused, found, len(lost), d.read, d.refusal, d.pause)
}
