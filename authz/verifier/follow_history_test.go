package verifier

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// world is an issuer of several servers on one store. Each follows the store some time behind, and has a clock
// of its own, up to 5 s off (authz.MaxSkew). What is revoked stays so.
type world struct {
	r       *rand.Rand
	now     time.Time
	revoked []time.Time // when number i was
	servers []*server
}

type server struct {
	w     *world
	skew  time.Duration
	known time.Time // up to when it knows the store
	run   string
	from  int // how many were revoked before the run began
}

// has is how many revocations the server knows.
func (s *server) has() (n int) {
	for n < len(s.w.revoked) && !s.w.revoked[n].After(s.known) {
		n++
	}
	return n
}

func (s *server) restart() { s.run, s.from = fmt.Sprint("run", s.w.r.Uint64()), s.has() }

func (s *server) event(kind string, seq int) token.Event {
	e := token.Event{
		Issuer: "https://as.example", Audience: "https://as.example/feed", JTI: "x", Kind: kind, Run: s.run, Seq: uint64(seq),
		IssuedAt: s.w.now.Add(s.skew).Truncate(time.Second),
	}
	if kind != token.EventRevoked {
		e.AsOf = s.known.Add(s.skew).Truncate(time.Second)
	}
	return e
}

func subjectOf(i int) token.Subject {
	return token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint(i)}
}

// SET-14, STR-05, RST-05: whatever becomes of servers, streams and what is in them, a revocation that was heard of
// is never forgotten while it lasts; and while the service says that it follows, it knows all that was revoked
// MaxAge ago, but for the clocks of servers that are ahead.
func TestSET14_STR05_RST05_AnyHistory(t *testing.T) {
	for seed := range uint64(40) {
		anyHistory(t, seed)
	}
}

func anyHistory(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &world{r: r, now: time.Unix(1_800_000_000, 0).UTC()}
	for range 3 {
		s := &server{w: w, known: w.now, skew: time.Duration(r.IntN(10_001)-5000) * time.Millisecond}
		s.restart()
		w.servers = append(w.servers, s)
	}
	f := &follower{
		issuer: "https://as.example", endpoint: "https://as.example/feed", now: func() time.Time { return w.now },
		feed:   Feed{WhenSilent: SilentClosed, MaxAge: DefaultMaxAge, MaxRevocations: DefaultMaxRevocations},
		onFeed: func(FeedReport) {}, log: slog.New(slog.DiscardHandler), dropped: map[FeedCause]uint64{}, outcome: make(chan error, 1),
	}
	f.tables.Store(&tables{token.NewIndex()})
	defer f.sweeps.Wait()

	heard := map[int]bool{}
	var s *server // that is followed
	var st *stream
	sent, followed := 0, 0
	drop := func(err error) {
		f.drop(t.Context(), err)
		s = nil
	}
	say := func(e token.Event) bool {
		if err := st.obey(&e, "k"); err != nil {
			drop(err)
			return false
		}
		for _, r := range e.Revocations {
			var i int
			_, _ = fmt.Sscan(r.Value, &i)
			if e.Kind == token.EventRevoked || e.Part == e.Parts {
				heard[i] = true
			}
		}
		return true
	}
	for step := range 400 {
		w.now = w.now.Add(time.Duration(r.IntN(1500)) * time.Millisecond)
		if r.IntN(3) == 0 {
			w.revoked = append(w.revoked, w.now)
		}
		for _, s := range w.servers {
			if r.IntN(4) > 0 { // else it lags, or is cut off
				s.known = w.now.Add(-time.Duration(r.IntN(500)) * time.Millisecond)
			}
		}
		switch what := r.IntN(20); {
		case s == nil:
			s = w.servers[r.IntN(len(w.servers))]
			st = &stream{f: f, position: f.at, last: w.now}
			if f.at.run == s.run { // it goes on
				sent = s.from + int(f.at.seq)
				break
			}
			sent = s.has()
			e := s.event(token.EventSnapshot, sent-s.from)
			e.Part, e.Parts = 1, 1
			for i := range sent {
				e.Revocations = append(e.Revocations, token.Revocation{Subject: subjectOf(i)})
			}
			say(e)
		case what == 0:
			drop(dropped(FeedBroken, "broken"))
		case what == 1:
			s.restart()
			drop(dropped(FeedEnded, "ended"))
		case what == 2 && sent < s.has(): // one is withheld, or lost on its way
			sent++
		case what == 3 && sent > s.from && st.seq == uint64(sent-s.from): // one comes again
			e := s.event(token.EventRevoked, sent-s.from)
			e.Revocations = []token.Revocation{{Subject: subjectOf(sent - 1)}}
			if say(e) {
				t.Fatalf("seed %d: a replay is taken", seed)
			}
		default:
			for sent < s.has() {
				sent++
				e := s.event(token.EventRevoked, sent-s.from)
				e.Revocations = []token.Revocation{{Subject: subjectOf(sent - 1)}}
				if !say(e) {
					break
				}
			}
			if s != nil && r.IntN(2) == 0 {
				say(s.event(token.EventHeartbeat, sent-s.from))
			}
		}
		if step%8 > 0 && step != 399 {
			continue
		}
		void := func(i int) bool {
			_, void := f.tables.Load().void(&token.Claims{JTI: fmt.Sprint(i), IssuedAt: w.now}, "k")
			return void
		}
		for i := range heard {
			if !void(i) {
				t.Fatalf("seed %d: number %d was heard of, and is forgotten", seed, i)
			}
		}
		if mode, _ := f.mode(w.now); mode != ModeFollowing {
			continue
		}
		followed++
		for i, at := range w.revoked {
			if w.now.Sub(at) > f.feed.MaxAge+6*time.Second && !void(i) {
				t.Fatalf("seed %d: number %d was revoked %v ago, and the service follows", seed, i, w.now.Sub(at))
			}
		}
	}
	if followed < 5 || len(w.revoked) < 50 {
		t.Fatalf("seed %d: the history is not one: followed at %d of some 50 steps, %d revocations", seed, followed, len(w.revoked))
	}
}
