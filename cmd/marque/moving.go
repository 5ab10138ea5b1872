package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// thisUser is the actor of a command that changes a store without a server.
func thisUser() audit.Actor { return audit.Actor{Kind: audit.ActorUID, ID: fmt.Sprint(os.Getuid())} }

// The actions of audit entries about exports; the target is the issuer. What is exported holds its own entry.
const (
	actionExport = "installation.export"
	actionReopen = "installation.reopen"
)

// noteExport records that a store is exported, or opened again after one. It comes before what it tells of, where that
// closes the store: a closed one takes no entry.
func noteExport(ctx context.Context, db database, action string, view any) error {
	in, err := db.Installation(ctx)
	if err != nil {
		return err
	}
	now, err := clockOf(db)(ctx)
	if err != nil {
		return err
	}
	e := audit.Origin{Actor: thisUser()}.Done(now, action, in.Issuer)
	if view != nil {
		if e.After, err = json.Marshal(view); err != nil {
			return err
		}
	}
	if err := db.Note(ctx, e); err != nil {
		return fmt.Errorf("record it in the audit log: %w", err)
	}
	return nil
}

// openToMove opens a store, also one that is closed or half imported.
func (a *app) openToMove(ctx context.Context, b backend, mustExist bool) (database, error) {
	if err := b.look(mustExist); err != nil {
		return nil, err
	}
	return b.open(ctx, opening{mustExist: mustExist, moving: true, warn: func(text string) { a.note("%s", text) }})
}

// countedKinds says how many records of each kind there are.
func countedKinds(records map[store.Kind]int) string {
	var parts []string
	for _, k := range []struct {
		kind  store.Kind
		thing string
	}{
		{store.KindClient, "client"},
		{store.KindResource, "resource"},
		{store.KindRing, "ring"},
		{store.KindRevocation, "revocation"},
		{store.KindCredential, "credential identifier"},
	} {
		parts = append(parts, counted(records[k.kind], k.thing))
	}
	n := records[store.KindAudit]
	entries := map[bool]string{true: "1 audit entry", false: fmt.Sprintf("%d audit entries", n)}[n == 1]
	return strings.Join(append(parts, entries), ", ")
}

// meter shows on a terminal how far something has come; elsewhere it shows nothing.
type meter struct {
	to    io.Writer // nil: nobody looks
	what  string
	total int64 // octets; 0: unknown
	began time.Time
	drawn time.Time
}

// meter begins one. Whoever begins it ends it.
func (a *app) meter(what string, total int64) *meter {
	m := &meter{what: what, total: total, began: time.Now()}
	if f, ok := a.stderr.(*os.File); ok && isTerminal(f) {
		m.to = f
	}
	return m
}

// show draws it, if that is due.
func (m *meter) show(p moving.Progress) {
	now := time.Now()
	if m.to == nil || now.Sub(m.drawn) < progressPause {
		return
	}
	m.drawn = now
	_, _ = io.WriteString(m.to, "\r"+m.text(p, now.Sub(m.began))+"\x1b[K")
}

func (m *meter) text(p moving.Progress, took time.Duration) string {
	text := m.what
	if m.total > 0 {
		part := int(20 * min(p.Octets, m.total) / m.total)
		text += fmt.Sprintf(" [%s%s] %3d%%", strings.Repeat("#", part), strings.Repeat(".", 20-part), 100*min(p.Octets, m.total)/m.total)
	}
	rate := float64(p.Records) / max(took.Seconds(), 0.001)
	return text + fmt.Sprintf(" %d records, %.0f/s", p.Records, rate)
}

// end removes it.
func (m *meter) end() {
	if m.to != nil && !m.drawn.IsZero() {
		_, _ = io.WriteString(m.to, "\r\x1b[K")
	}
}

// stopped reports whether somebody has stopped the command.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}
