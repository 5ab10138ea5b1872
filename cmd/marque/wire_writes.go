package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// A store can be read and take no write: a Redis that is full or lacks a replica, a disk without room. Then
// tokens and introspection go on, and nobody would see but who wants to change something. The last write that
// was refused is remembered until one succeeds: nothing is written to find out.

// refusedWrite is a write that the store did not take, or did not confirm.
type refusedWrite struct {
	at  time.Time
	why string
}

// noted is a store that notes whether it takes writes. Silence is no refusal: who hears nothing notices that
// by reading. Nor is what concerns one record, such as a conflict or damage.
type noted struct {
	store.Store
	durable bool                          // Confirm asks the store for something
	refused *atomic.Pointer[refusedWrite] // nil: the last one was taken
	refuses func(error) bool
	now     func() time.Time
}

func (n *noted) note(err error) {
	switch {
	case err == nil:
		if n.refused.Load() != nil {
			n.refused.Store(nil)
		}
	case n.refuses(err):
		n.refused.Store(&refusedWrite{n.now(), err.Error()})
	}
}

// PutClient implements authz.ClientRecords.
func (n *noted) PutClient(ctx context.Context, c authz.Client, e audit.Entry, revoked ...authz.Revocation) (authz.Client, error) {
	c, err := n.Store.PutClient(ctx, c, e, revoked...)
	n.note(err)
	return c, err
}

// PutResource implements authz.ResourceRecords.
func (n *noted) PutResource(ctx context.Context, r authz.Resource, e audit.Entry, revoked ...authz.Revocation) (authz.Resource, error) {
	r, err := n.Store.PutResource(ctx, r, e, revoked...)
	n.note(err)
	return r, err
}

// PutRevocation implements authz.RevocationRecords.
func (n *noted) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	r, err := n.Store.PutRevocation(ctx, r, e)
	n.note(err)
	return r, err
}

// PutRing implements keys.Rings.
func (n *noted) PutRing(ctx context.Context, r keys.RingRecord, e audit.Entry) (keys.RingRecord, error) {
	r, err := n.Store.PutRing(ctx, r, e)
	n.note(err)
	return r, err
}

// Confirm returns once what was committed before is as durable as was asked for; at once if nothing was.
func (n *noted) Confirm(ctx context.Context) error {
	c, ok := n.Store.(interface{ Confirm(context.Context) error })
	if !ok {
		return nil
	}
	err := c.Confirm(ctx)
	if n.durable {
		n.note(err)
	}
	return err
}
