package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
)

// Audit reads the audit log, as authz.Registry documents it.
type Audit interface {
	Audit(ctx context.Context, q authz.AuditQuery) ([]audit.Entry, string, error)
}

// Refusals is what is remembered of refused requests: an *authz.Refusals.
type Refusals interface {
	Recent(id authz.ClientID) []authz.Refusal
	ByRequest(requestID string) (authz.Refusal, bool)
}

// Level says how bad a finding is.
type Level string

// The levels of findings.
const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// Finding is one thing that was looked at, and what to do about it. It holds no secret.
type Finding struct {
	Check   string // what was looked at
	Level   Level
	Subject string // which one of them; may be empty
	Message string // what was found
	Fix     string // what to do; empty when there is nothing to do
}

// ListClientRefusals reads why requests of a client were refused. An identifier that no client has is
// most often a mistyped one, so what is remembered of it is shown, too.
func (h *handler) ListClientRefusals(ctx context.Context, req api.ListClientRefusalsRequestObject) (api.ListClientRefusalsResponseObject, error) {
	id := authz.ClientID(req.ClientID)
	found := h.refusals.Recent(id)
	if len(found) == 0 {
		if _, err := h.registry.Client(ctx, id); err != nil {
			return nil, err
		}
	}
	found = found[:min(len(found), authz.RefusalsPerClient)]
	out := api.ListClientRefusals200JSONResponse{Refusals: make([]api.Refusal, len(found))}
	for i, r := range found {
		out.Refusals[i] = refusalOf(r)
	}
	return out, nil
}

// GetRefusal reads why one request was refused.
func (h *handler) GetRefusal(_ context.Context, req api.GetRefusalRequestObject) (api.GetRefusalResponseObject, error) {
	r, ok := h.refusals.ByRequest(req.RequestID)
	if !ok {
		return nil, authz.ErrNotFound
	}
	return api.GetRefusal200JSONResponse(refusalOf(r)), nil
}

func refusalOf(r authz.Refusal) api.Refusal {
	out := api.Refusal{
		Time:         r.Time.UTC(),
		RequestID:    r.RequestID,
		Route:        r.Route,
		Cause:        string(r.Cause),
		Detail:       optional(authz.Redact(r.Detail)),
		ClientID:     optional(authz.Redact(string(r.Client))),
		CredentialID: optional(string(r.Credential)),
	}
	if r.Address.IsValid() {
		out.Address = optional(r.Address.String())
	}
	return out
}

// ListAudit reads one page of the audit log. Its cursor is the log's own, encoded like all others.
func (h *handler) ListAudit(ctx context.Context, req api.ListAuditRequestObject) (api.ListAuditResponseObject, error) {
	cursor, n, err := page[string](req.Params.Cursor, req.Params.Limit)
	if err != nil {
		return nil, err
	}
	q := authz.AuditQuery{
		Cursor: cursor, Limit: n,
		Actor: text(req.Params.Actor), Action: text(req.Params.Action), Target: text(req.Params.Target), Revoked: isTrue(req.Params.Revoked),
	}
	if req.Params.Since != nil {
		q.Since = *req.Params.Since
	}
	entries, next, err := h.registry.Audit(ctx, q)
	if err != nil {
		return nil, err
	}
	out := api.ListAudit200JSONResponse{Entries: make([]api.AuditEntry, len(entries))}
	if next != "" {
		out.Next = cursorAfter(next)
	}
	for i, e := range entries {
		if out.Entries[i], err = auditEntryOf(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func auditEntryOf(e audit.Entry) (api.AuditEntry, error) {
	out := api.AuditEntry{
		ID:        base64.RawURLEncoding.EncodeToString([]byte(e.ID)),
		Time:      e.Time.UTC(),
		Actor:     e.Actor.String(),
		Reason:    optional(e.Reason),
		RequestID: optional(e.RequestID),
		Action:    e.Action,
		Target:    e.Target,
		Result:    api.AuditEntryResult(e.Result),
	}
	var err error
	if out.Before, err = auditRecord(e.Before); err != nil {
		return out, fmt.Errorf("audit entry %q: before: %w", e.ID, err)
	}
	if out.After, err = auditRecord(e.After); err != nil {
		return out, fmt.Errorf("audit entry %q: after: %w", e.ID, err)
	}
	return out, nil
}

// auditRecord returns the members of what an entry says of a record; nil when it says that there is none.
func auditRecord(v jsontext.Value) (*api.AuditRecord, error) {
	if v == nil {
		return nil, nil
	}
	record := api.AuditRecord{}
	if err := json.Unmarshal(v, &record); err != nil {
		return nil, err
	}
	if record == nil {
		return nil, errors.New("null is no record")
	}
	return &record, nil
}

// Doctor looks for what is wrong with the installation.
func (h *handler) Doctor(ctx context.Context, _ api.DoctorRequestObject) (api.DoctorResponseObject, error) {
	found, err := h.doctor(ctx)
	if err != nil {
		return nil, err
	}
	out := api.Doctor200JSONResponse{Findings: make([]api.Finding, len(found))}
	for i, f := range found {
		out.Findings[i] = api.Finding{
			Check:   f.Check,
			Level:   api.FindingLevel(f.Level),
			Subject: optional(f.Subject),
			Message: optional(f.Message),
			Fix:     optional(f.Fix),
		}
	}
	return out, nil
}
