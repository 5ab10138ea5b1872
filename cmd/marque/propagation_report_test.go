//go:build linux || darwin

package main

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// report says what was measured.
func (p *spread) report(t *testing.T) {
	t.Helper()
	after := p.memory()
	var steady, cut delays
	dropped := map[verifier.FeedCause]uint64{}
	for _, w := range p.services {
		w.mu.Lock()
		steady, cut = append(steady, w.steady...), append(cut, w.cut...)
		w.mu.Unlock()
		if f, ok := w.judge.(*followed); ok {
			for cause, n := range f.FeedStatus().Dropped {
				dropped[cause] += n
			}
		}
	}
	kinds := map[string]int{}
	for _, a := range p.acts {
		kinds[a.kind]++
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("%d services here and %d in processes of their own, 3 servers on one Redis, %d kills (SIGKILL); revoked: %v; load average %s",
		len(p.services)-len(p.children), len(p.children), p.kills, kinds, strings.TrimSpace(string(load)))
	t.Logf("from the 200 to the refusal, with a stream at the time of the 200: %v (%d before the 200)", steady, p.early.Load())
	p.slowest.report(t)
	if len(cut) > 0 {
		t.Logf("without one, its server killed or just asked again: %v", cut)
	}
	t.Logf("%d calls of revoked tokens meanwhile, %d of them 503; %d times a new key had to be waited for; streams that ended: %v",
		p.sampled.Load(), p.closed.Load(), p.hesitated.Load(), dropped)
	if here := len(p.services) - len(p.children); here > 0 {
		grown := float64(after.services) - float64(p.before.services)
		t.Logf("a live revocation takes %.0f octets of each service here, what this test notes of it included; the servers had %v KiB and have %v KiB",
			grown/float64(here*len(p.acts)), p.before.servers, after.servers)
	}
	// All services of a long run are on this one machine: how late they are says how busy it is.
	if len(steady) == 0 || len(p.services) <= 100 && steady[len(steady)*99/100] > propagation+busy {
		t.Errorf("EVT-14: services with a stream know after %v", steady)
	}
}

// judgeAll has services judge what was revoked, all of them all of it if that is not too much.
func (p *spread) judgeAll(t *testing.T) {
	t.Helper()
	each := len(p.services)
	if each*len(p.acts) > completeJudged {
		each = max(1, completeJudged/len(p.acts))
	}
	var verdicts atomic.Int64
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				for k := range each { // so that each service has its turn
					w, a := p.services[(i*each+k)%len(p.services)], p.acts[i]
					v := w.judge.judge(t.Context(), a.compact)
					for tries := 0; v == unknown && a.key.Load() && tries < 1_000; tries++ {
						time.Sleep(10 * time.Millisecond) // it asks for the key that is no more
						v = w.judge.judge(t.Context(), a.compact)
					}
					if verdicts.Add(1); v != refused {
						p.broken("%s %s: %s in the end", a.kind, a.subject, v)
					}
				}
			}
		})
	}
	for i := range p.acts {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("%d verdicts in the end", verdicts.Load())
}

// everything revokes what is of a resource, and then everything: all services refuse, and take what is issued later.
func (p *spread) everything(t *testing.T) {
	t.Helper()
	dice := rand.New(rand.NewPCG(5, 5))
	c := p.newPartner(dice, "last")
	for _, last := range []client.RevocationRequest{{Kind: client.RevocationKindResource, Value: new(propagated)}, {Kind: client.RevocationKindAll}, {}} {
		var compact string
		waitFor(t, func() bool { // what is issued in the very second is void, too
			time.Sleep(50 * time.Millisecond)
			compact = p.token(t.Context(), dice, c)
			return !slices.ContainsFunc(p.services[:1], func(w *attentive) bool { return w.judge.judge(t.Context(), compact) != taken })
		})
		p.everywhere(t, compact, taken)
		if last.Kind == "" {
			return
		}
		a := p.register(string(last.Kind), token.Subject{Kind: token.RevocationKind(last.Kind), Value: text(last.Value)}, compact)
		p.insist(dice, a.kind, func(n *liveNode) (int, error) {
			r, err := n.api(t).CreateRevocationWithResponse(context.Background(), nil, last)
			return statusOf(r, err), err
		})
		a.answered.Store(time.Now().UnixNano())
		p.awaitAll(t)
		p.everywhere(t, compact, refused)
	}
}

// everywhere wants one verdict of all services, at once if it is a refusal.
func (p *spread) everywhere(t *testing.T, compact string, want verdict) {
	t.Helper()
	for i, w := range p.services {
		v := w.judge.judge(t.Context(), compact)
		for tries := 0; v != want && want == taken && tries < 1_000; tries++ {
			time.Sleep(10 * time.Millisecond) // a key that is new to it
			v = w.judge.judge(t.Context(), compact)
		}
		if v != want {
			p.broken("service %d: %s, want %s", i, v, want)
		}
	}
}
