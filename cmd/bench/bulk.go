package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// bulk is a store that holds what a small export holds, and many more clients and revocations, which exist while
// they are read. It can be exported, and nothing else: so a large installation is made without a million requests.
type bulk struct {
	store.Mover // nil: nothing else is asked
	*padding
	envelope     *store.Envelope
	installation keys.Installation
	small        map[store.Kind][]store.Stored

	clients, revocations int
	until                time.Time // when the revocations end
}

// openBulk reads a small export, in which the pattern is.
func openBulk(file, kekFile string, s secrets) (*bulk, *jose.KEK, error) {
	kek, err := keys.ReadKEKFile(kekFile)
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	head, err := moving.Head(bytes.NewReader(text), []*jose.KEK{kek})
	if err != nil {
		return nil, nil, err
	}
	opened, err := head.Installation.Open([]*jose.KEK{kek})
	if err != nil {
		return nil, nil, err
	}
	b := &bulk{installation: head.Installation, small: map[store.Kind][]store.Stored{}}
	if b.envelope, err = store.NewEnvelope(opened.RecordKey, head.Namespace); err != nil {
		return nil, nil, err
	}
	b.padding = newPadding(opened.Pepper, s)
	for line := range bytes.Lines(text) {
		if err := b.take(line); err != nil {
			return nil, nil, err
		}
	}
	if len(b.pattern.Credentials) != 1 {
		return nil, nil, errors.New("the export does not have the pattern")
	}
	return b, kek, nil
}

// take takes a line of the small export, which this run has made.
func (b *bulk) take(line []byte) error {
	var l struct {
		Kind    store.Kind
		Key     string
		Version uint64
		Body    json.RawMessage
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	s := store.Stored{Kind: l.Kind, Key: l.Key, Octets: l.Body}
	switch l.Kind {
	case "export", "end":
		return nil
	case store.KindAudit:
	default:
		s.Octets = b.envelope.Seal(l.Kind, l.Key, l.Version, l.Body)
	}
	b.small[l.Kind] = append(b.small[l.Kind], s)
	if l.Kind != store.KindClient || l.Key != filledID(0) {
		return nil
	}
	var err error
	b.pattern, err = b.envelope.OpenClient(authz.ClientID(l.Key), s.Octets)
	return err
}

// Dump implements store.Mover.
func (b *bulk) Dump(ctx context.Context, kind store.Kind, fn func(store.Stored) error) error {
	if kind == store.KindInstallation {
		octets, err := store.EncodeInstallation(b.installation)
		if err != nil {
			return err
		}
		return fn(store.Stored{Kind: kind, Key: b.envelope.Namespace(), Octets: octets})
	}
	for _, s := range b.small[kind] {
		if err := fn(s); err != nil {
			return err
		}
	}
	from, to, seal := 0, 0, (func(i int) (string, []byte, error))(nil)
	switch kind { // of the clients the first one is there: the pattern
	case store.KindClient:
		from, to, seal = 1, b.clients, b.sealClient
	case store.KindCredential:
		from, to, seal = 1, b.clients, b.sealOwner
	case store.KindRevocation:
		from, to, seal = 0, b.revocations, b.sealRevocation
	}
	for i := from; i < to; i++ {
		key, octets, err := seal(i)
		if err == nil {
			err = fn(store.Stored{Kind: kind, Key: key, Octets: octets})
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// Floor implements store.Mover.
func (b *bulk) Floor(context.Context) (uint64, error) { return 0, nil }

func (b *bulk) sealClient(i int) (string, []byte, error) {
	c := b.client(i)
	octets, err := b.envelope.SealClient(c)
	return string(c.ID), octets, err
}

func (b *bulk) sealOwner(i int) (string, []byte, error) {
	id := authz.CredentialID(filledCredential(i))
	octets, err := b.envelope.SealOwner(id, authz.ClientID(filledID(i)))
	return string(id), octets, err
}

func (b *bulk) sealRevocation(i int) (string, []byte, error) {
	subject := token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprintf("filled%020d", i)} // as long as the server's
	octets, err := b.envelope.SealRevocation(authz.Revocation{
		Revocation: token.Revocation{Subject: subject, Until: b.until},
		Client:     authz.ClientID(filledID(i)), Actor: audit.System("bench"), CreatedAt: b.until.Add(-token.RevocationKept), Version: 1,
	})
	return subject.String(), octets, err
}

// write exports it.
func (b *bulk) write(ctx context.Context, file string, kek *jose.KEK) (records int, octets int64, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, 0, err
	}
	out, err := moving.Export(ctx, f, moving.Source{
		Store: b, Namespace: b.envelope.Namespace(), KEKs: []*jose.KEK{kek}, ID: moving.NewID(), Now: time.Now(),
	})
	for _, n := range out.End.Records {
		records += n
	}
	return records, out.Octets, errors.Join(err, f.Close())
}
