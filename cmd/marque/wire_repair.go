package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// A shared store can go back in time: a Redis that was restored from a backup, or whose replica was promoted
// without the last writes. What every server still knows to be revoked is then put back into it, for nobody
// could tell the operator what to revoke again. The embedded store has one server, and whoever restores it
// stops that.

const (
	repairsAtOnce = 8 // revocations that are put back at a time
	mostRepairs   = 3 // attempts in one pass until the store says what it should
)

// wentBack is whether a store went back in time. It is safe for concurrent use.
type wentBack struct {
	mu    sync.Mutex
	still bool // it says less than is known here
	last  time.Time
	times int
}

// begin notes that it did, and reports whether that is news.
func (b *wentBack) begin(at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.still {
		return false
	}
	b.still, b.last = true, at
	b.times++
	return true
}

// end notes that it says everything again, and reports whether that is news.
func (b *wentBack) end() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.still
	b.still = false
	return was
}

// look returns whether it says less than is known here, when that was noticed last, and how often it was.
func (b *wentBack) look() (still bool, last time.Time, times int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.still, b.last, b.times
}

// alarm says, once, that the store went back in time.
func (s *server) alarm(ctx context.Context, err error) {
	if s.back.begin(s.commonNow()) {
		s.log.ErrorContext(ctx, "the store went back in time: it was emptied, restored, or failed over without its last writes; nothing is confirmed until it says again what is known here", "err", err)
	}
}

// agree says, once, that the store no longer says less than is known here.
func (s *server) agree() {
	if s.back.end() {
		s.log.Warn("the store says again what is known here of revocations and keys; clients and resources may be older than they were")
	}
}

// byRepair is who puts revocations back, and why.
var byRepair = audit.Origin{
	Actor:  audit.System("repair"),
	Reason: "the store went back in time: this was in force here, and gone from the store or less there",
}

// putBack puts revocations back that the store lacks, or says less of. Other servers may do so as well. After
// an error some of them are there.
func (s *server) putBack(ctx context.Context, lost []token.Indexed) error {
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(repairsAtOnce)
	for _, r := range lost {
		g.Go(func() error {
			written, err := s.revoker.Restore(ctx, byRepair, r.Revocation, authz.ClientID(r.Client))
			if written {
				done.Add(1)
			}
			return err
		})
	}
	err := g.Wait()
	if n := done.Load(); n > 0 {
		s.log.WarnContext(ctx, "revocations were put back into the store", "written", n, "missed", len(lost))
	}
	return err
}
