package authz

import (
	"crypto/rand"
	"errors"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// feedLogSize is how many messages the log holds, heartbeats included: some 4 MiB. Who falls behind by more
// starts from a snapshot.
const feedLogSize = 4096

// FeedEvent is one message of the revocation feed, the same for all who get it.
type FeedEvent struct {
	// ID is where somebody who has everything up to this message goes on: RUN.SEQ. It is empty in all but the
	// last part of a snapshot, so that who is cut off in the middle of one does not go on behind it.
	ID string

	SET string // a Security Event Token: a compact JWS

	seq     uint64 // of the last revocation then
	revokes bool   // it is that revocation
}

// feedLog holds the last messages of a feed in their order. Readers wait for no writer's signature, and for
// no other reader's socket. It is safe for concurrent use, but for append and renew, which are called under
// one lock of the caller.
type feedLog struct {
	mu   sync.RWMutex
	run  string
	seq  uint64        // of the last revocation of this run
	head uint64        // messages of this run until now
	ring []FeedEvent   // message i is at i % feedLogSize
	wake chan struct{} // closed when something happens
}

// place is a position between two messages of a run.
type place struct {
	run string
	at  uint64 // how many messages are before it
}

var (
	errFeedRenewed = errors.New("authz: the feed has begun a new run")
	errFeedFell    = errors.New("authz: too far behind: what comes next has left the log")
)

func newFeedLog() *feedLog {
	return &feedLog{run: rand.Text(), wake: make(chan struct{})}
}

// renew begins a new run: what was sent before is no longer to be had.
func (l *feedLog) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run, l.seq, l.head = rand.Text(), 0, 0
	l.ring = nil
	l.wakeAll()
}

// append adds a message: revocation number seq, or a heartbeat after that one.
func (l *feedLog) append(set string, seq uint64, revokes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := FeedEvent{ID: feedID(l.run, seq), SET: set, seq: seq, revokes: revokes}
	if len(l.ring) < feedLogSize {
		l.ring = append(l.ring, e)
	} else {
		l.ring[l.head%feedLogSize] = e
	}
	l.head++
	l.seq = seq
	l.wakeAll()
}

// look wakes all who wait, with nothing new to read.
func (l *feedLog) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeAll()
}

func (l *feedLog) wakeAll() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// now returns the end of the log, and the number of the last revocation.
func (l *feedLog) now() (place, uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return place{l.run, l.head}, l.seq
}

// oldest is the first message that is still held. The caller holds mu.
func (l *feedLog) oldest() uint64 { return l.head - uint64(len(l.ring)) }

// holds reports whether whoever is at p can go on from there.
func (l *feedLog) holds(p place) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return p.run == l.run && p.at >= l.oldest()
}

// after returns the place behind the revocation that id names, and everything that told of the time until
// the next one. Not ok: the id is of another run, or of the future, or what comes next has left the log.
func (l *feedLog) after(id string) (p place, ok bool) {
	run, seq, ok := parseFeedID(id)
	if !ok {
		return place{}, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if run != l.run || seq > l.seq {
		return place{}, false
	}
	first := l.oldest()
	n := sort.Search(len(l.ring), func(i int) bool { return l.ring[(first+uint64(i))%feedLogSize].seq > seq })
	at := first + uint64(n)
	if at < l.head { // heartbeats may have outlived the revocation that they come after
		if next := l.ring[at%feedLogSize]; !next.revokes || next.seq != seq+1 {
			return place{}, false
		}
	}
	return place{run, at}, true
}

// read appends to into what comes after p, as much as fits, and returns where that ends. When there is
// nothing, wake is closed as soon as it is worth to look again.
func (l *feedLog) read(p place, into []FeedEvent) (events []FeedEvent, next place, wake <-chan struct{}, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case p.run != l.run:
		return into, p, nil, errFeedRenewed
	case p.at < l.oldest():
		return into, p, nil, errFeedFell
	}
	for p.at < l.head && len(into) < cap(into) {
		into = append(into, l.ring[p.at%feedLogSize])
		p.at++
	}
	return into, p, l.wake, nil
}

// revocations appends to into the messages after p that are a revocation, until they have no room, and returns
// the number of the last one that whoever has them knows, and whether there are more. It appends one at least, if there is any.
func (l *feedLog) revocations(p place, into []string, room int) (sets []string, seq uint64, more bool, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case p.run != l.run:
		return into, 0, false, errFeedRenewed
	case p.at < l.oldest():
		return into, 0, false, errFeedFell
	}
	for any := false; p.at < l.head; p.at++ {
		e := &l.ring[p.at%feedLogSize]
		if !e.revokes {
			continue
		}
		if room -= len(e.SET); room < 0 && any {
			return into, seq, true, nil
		}
		into, seq, any = append(into, e.SET), e.seq, true
	}
	return into, l.seq, false, nil
}

// feedID names a place in a feed for those who come back.
func feedID(run string, seq uint64) string { return run + "." + strconv.FormatUint(seq, 10) }

// parseFeedID reads what feedID wrote, in that one spelling.
func parseFeedID(id string) (run string, seq uint64, ok bool) {
	run, digits, ok := strings.Cut(id, ".")
	if !ok {
		return "", 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return run, seq, err == nil && feedID(run, seq) == id
}
