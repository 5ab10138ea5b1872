package moving

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// saltSize is how many octets tell the codes of one export from those of any other.
const saltSize = 32

// maxChanged bounds the clients that may be written while an export is.
const maxChanged = 10_000

// ErrBusy says that so much, or such a thing, was written while the export was that it would be of no one time.
var ErrBusy = errors.New("moving: signing keys, a resource or too many clients were changed while the export was written: try again, or make a final one")

// ErrDevelopment says that an installation was made by --dev. It is not moved: its guards are down.
var ErrDevelopment = errors.New("moving: it was made by --dev, for trying things out, and is not moved")

// Source is the store that is exported.
type Source struct {
	Store     store.Mover
	Namespace string
	KEKs      []*jose.KEK // one of them opens the installation

	// Changes is the store's feed, where somebody may write to it meanwhile; nil where nobody can.
	Changes store.Changes

	ID    string // see NewID
	Final bool   // the store was closed for this export
	Now   time.Time

	// Progress is told of what was written, now and then; it may be nil.
	Progress func(Progress)
}

// Progress is how far something has come.
type Progress struct {
	Records int   // that were written to the file, or read from it
	Octets  int64 // likewise
}

// Exported is what was written.
type Exported struct {
	Header Header
	End    End
	Octets int64
}

// progressEvery is how many lines go by between two looks at the context.
const progressEvery = 256

// Export writes everything to w. The error may be a *store.RecordError: what is damaged is not exported, and
// nothing else is either. It holds one record at a time.
func Export(ctx context.Context, w io.Writer, s Source) (Exported, error) {
	x := &exporter{Source: s, ctx: ctx, to: bufio.NewWriterSize(w, 256<<10), records: map[store.Kind]int{}}
	if err := x.header(); err != nil {
		return Exported{}, err
	}
	feed, err := followed(ctx, s.Changes)
	if err != nil {
		return Exported{}, err
	}
	for _, kind := range kinds() {
		x.records[kind] = 0
		if err := s.Store.Dump(ctx, kind, x.record); err != nil {
			return Exported{}, err
		}
	}
	end := End{Records: x.records, Floor: x.floor}
	if end.Changed, err = feed.clients(ctx); err != nil {
		return Exported{}, err
	}
	floor, err := s.Store.Floor(ctx)
	if err != nil {
		return Exported{}, err
	}
	end.Floor = max(end.Floor, floor)
	content, err := open(endForm{Kind: kindEnd, Records: end.Records, Floor: end.Floor, Changed: end.Changed})
	if err != nil {
		return Exported{}, err
	}
	if err := x.write(content); err != nil {
		return Exported{}, err
	}
	x.tell()
	return Exported{x.head, end, x.octets}, x.to.Flush()
}

// exporter writes one export.
type exporter struct {
	Source
	ctx     context.Context // of the one call of Export
	to      *bufio.Writer
	chain   *chain
	env     *store.Envelope
	head    Header
	records map[store.Kind]int
	written int // records
	floor   uint64
	octets  int64
	line    []byte // scratch
}

func (x *exporter) header() error {
	var stored []byte
	if err := x.Store.Dump(x.ctx, store.KindInstallation, func(s store.Stored) error {
		stored = bytes.Clone(s.Octets)
		return nil
	}); err != nil {
		return err
	}
	if stored == nil {
		return keys.ErrNotFound
	}
	in, err := store.DecodeInstallation(x.Namespace, stored)
	if err != nil {
		return err
	}
	secrets, err := in.Open(x.KEKs)
	if err != nil {
		return err
	}
	if in.Dev {
		return ErrDevelopment
	}
	if x.env, err = store.NewEnvelope(secrets.RecordKey, x.Namespace); err != nil {
		return err
	}
	x.head = Header{ID: x.ID, Namespace: x.Namespace, KEKID: in.KEKID, MadeAt: x.Now.UTC().Truncate(time.Second), Final: x.Final, Installation: in}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	key, err := macKey(x.KEKs, in.KEKID, salt)
	if err != nil {
		return err
	}
	x.chain = newChain(key)
	content, err := open(headerForm{
		Kind: kindHeader, Format: Format, ID: x.head.ID, Namespace: x.head.Namespace, KEKID: x.head.KEKID, Salt: salt,
		MadeAt: x.head.MadeAt, Final: x.head.Final, Installation: stored,
	})
	if err != nil {
		return err
	}
	return x.write(content)
}

// record writes one record, once it is authentic and decodes.
func (x *exporter) record(s store.Stored) error {
	form := recordForm{Kind: s.Kind, Key: s.Key, Body: s.Octets}
	var err error
	if s.Kind == store.KindAudit {
		_, err = store.DecodeEntry(s.Key, s.Octets)
	} else {
		rec := record{Stored: s}
		if err = rec.open(x.env, x.KEKs); err == nil {
			form.Format = s.Octets[0]
			form.Version, form.Body, err = x.env.Open(s.Kind, s.Key, s.Octets)
		}
		if rec.revocation.Version > x.floor {
			x.floor = rec.revocation.Version
		}
	}
	if err != nil {
		return err
	}
	if bytes.IndexByte(form.Body, '\n') >= 0 { // white space between its parts, as text cannot hold one
		form.Body = jsontext.Value(bytes.Clone(form.Body))
		if err := form.Body.Compact(); err != nil {
			return err
		}
	}
	if x.line, err = appendRecord(x.line[:0], form); err != nil {
		return fmt.Errorf("moving: %s %q: %w", s.Kind, s.Key, err)
	}
	if len(x.line)+tailSize > maxLine {
		return fmt.Errorf("moving: %s %q is larger than %d octets", s.Kind, s.Key, maxLine)
	}
	x.records[s.Kind]++
	x.written++
	if x.written%progressEvery == 0 {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		x.tell()
	}
	return x.write(x.line)
}

func (x *exporter) write(content []byte) error {
	line := x.chain.seal(content)
	x.octets += int64(len(line))
	_, err := x.to.Write(line)
	return err
}

func (x *exporter) tell() {
	if x.Progress != nil {
		x.Progress(Progress{x.written, x.octets})
	}
}

// feed is a place in the feed of a store that is written to; nil for one that is not.
type feed struct {
	changes store.Changes
	since   store.Cursor
}

func followed(ctx context.Context, changes store.Changes) (*feed, error) {
	if changes == nil {
		return nil, nil
	}
	head, err := changes.Head(ctx)
	if err != nil {
		return nil, err
	}
	return &feed{changes, head}, nil
}

// clients returns the clients that were written since. A ring or a resource is ErrBusy: keys that were revoked meanwhile would
// come without what revokes their tokens, and clients of a resource that was removed. Both change seldom.
func (f *feed) clients(ctx context.Context) ([]authz.ClientID, error) {
	if f == nil {
		return nil, nil
	}
	seen := map[authz.ClientID]bool{}
	var list []authz.ClientID
	for {
		page, next, err := f.changes.Changes(ctx, f.since, 1000)
		switch {
		case errors.Is(err, store.ErrCursor):
			return nil, ErrBusy
		case err != nil:
			return nil, err
		case len(page) == 0:
			return list, nil
		}
		for _, c := range page {
			if c.Kind == store.KindRing || c.Kind == store.KindResource {
				return nil, ErrBusy
			}
			if id := authz.ClientID(c.ID); c.Kind == store.KindClient && !seen[id] {
				seen[id] = true
				list = append(list, id)
			}
		}
		if len(list) > maxChanged {
			return nil, ErrBusy
		}
		f.since = next
	}
}
