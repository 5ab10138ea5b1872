package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/endpoint"
)

// Between two attempts to reach a store that is away.
const (
	firstPause   = 50 * time.Millisecond
	longestWait  = time.Second
	meanwhileFor = "1" // seconds: Retry-After
)

// errStopped says that the start was called off while it waited for the store.
var errStopped = errors.New("told to stop while waiting for the store")

// patient takes one step of the start. While nothing stands in its way but that the store is away, it
// answers for it, and tries again; each step can be taken again after it failed so.
func (s *server) patient(ctx context.Context, step func(context.Context) error) error {
	began := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestWait) {
		err := step(ctx)
		switch {
		case err == nil:
			if s.waits {
				s.waits = false
				s.log.InfoContext(ctx, "the store is there; the start goes on", "after", time.Since(began).Round(time.Millisecond).String())
			}
			return nil
		case !s.shared || s.local == nil: // nobody else can mend it, or nobody could be answered meanwhile
			return err
		case ctx.Err() != nil:
			return errors.Join(errStopped, err)
		case !s.backend.away(err):
			return err
		}
		if err := s.await(ctx, pause, err); err != nil {
			return err
		}
	}
}

// await lets a while pass, during which every request is answered.
func (s *server) await(ctx context.Context, pause time.Duration, why error) error {
	if !s.waits {
		s.waits = true
		s.log.WarnContext(ctx, "waiting for the store; until it is there every request is answered 503", "store", s.backend.place().name, "err", why)
	}
	text := why.Error()
	s.awaited.Store(&text)
	s.answerMeanwhile()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errStopped
	case err := <-s.failed:
		return err
	case <-timer.C:
		return nil
	}
}

// standIn answers on a listener until the handler that belongs there exists. The HTTP server stays the same
// when that takes over, so that no connection and no request in the system's queue is lost.
type standIn struct {
	name      string
	next      atomic.Pointer[http.Handler] // nil until then
	meanwhile http.HandlerFunc
}

// ServeHTTP implements http.Handler.
func (h *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if next := h.next.Load(); next != nil {
		(*next).ServeHTTP(w, r)
		return
	}
	h.meanwhile(w, r)
}

// answerMeanwhile puts a stand-in on every listener.
func (s *server) answerMeanwhile() {
	if s.standIns != nil {
		return
	}
	all := map[net.Listener]*standIn{}
	local := &standIn{name: socketServer, meanwhile: s.meanwhileAdmin(true)}
	s.serveLocal(local)
	all[s.local] = local
	if s.admin != nil {
		tcp := &standIn{name: adminServer, meanwhile: s.meanwhileAdmin(false)}
		s.serveTCP(tcp.name, tcp, s.admin)
		all[s.admin] = tcp
	}
	public := &standIn{name: publicServer, meanwhile: meanwhilePublic}
	s.serveTCP(public.name, public, s.listener)
	all[s.listener] = public
	s.standIns = all // not before: what was started so far would take over from itself
}

// takesOver gives a listener that a stand-in answers on to h, and reports whether there was one. What
// serves it ends before what h needs, as if it had been started now.
func (s *server) takesOver(l net.Listener, h http.Handler) bool {
	in, ok := s.standIns[l]
	if !ok {
		return false
	}
	in.next.Store(&h)
	i := slices.IndexFunc(s.closers, func(c closer) bool { return c.name == in.name })
	c := s.closers[i]
	s.closers = append(slices.Delete(s.closers, i, i+1), c)
	return true
}

// meanwhilePublic is what strangers are told: the process lives, and cannot say anything yet.
func meanwhilePublic(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Request-Id", rand.Text())
	switch {
	case r.URL.Path == "/readyz" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Retry-After", meanwhileFor)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, endpoint.NotReady(reasonWaiting+forStrangers[reasonWaiting]).Error()+"\n")
	case r.URL.Path != "/healthz":
		w.Header().Set("Retry-After", meanwhileFor)
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // a caller that went away needs no answer
	}
}

// meanwhileAdmin is what admins are told. Why the store is away is told on the socket alone, where nobody
// but the server's user asks.
func (s *server) meanwhileAdmin(why bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		detail := "the server waits for its store, and starts when that is there"
		if reason := s.awaited.Load(); why && reason != nil {
			detail += ": " + *reason
		}
		p := client.Problem{
			Type: client.ProblemTypeAboutBlank, Title: http.StatusText(http.StatusServiceUnavailable), Status: http.StatusServiceUnavailable,
			Detail: &detail, RequestID: rand.Text(),
		}
		s.log.InfoContext(r.Context(), "admin request while waiting for the store", "request_id", p.RequestID, "method", r.Method)
		body, err := json.Marshal(p)
		if err != nil { // strings and a number
			panic(err)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", meanwhileFor)
		w.Header().Set("X-Request-Id", p.RequestID)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(append(body, '\n'))
	}
}
