package moving

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// Contents is what an export holds, all of which was checked.
type Contents struct {
	Header Header
	End    End

	first     [sha256.Size]byte // the code of its first line: nobody but who wrote it can go on behind it
	last      [sha256.Size]byte // the code of its last line, which stands for all of them
	keks      []*jose.KEK
	namespace string
}

// envelope seals for where the export goes.
func (c *Contents) envelope() (*store.Envelope, error) {
	secrets, err := c.Header.Installation.Open(c.keks)
	if err != nil {
		return nil, err
	}
	return store.NewEnvelope(secrets.RecordKey, c.namespace)
}

// Head reads the header of an export and authenticates it. What is wrong is said as Check does.
func Head(from io.Reader, keks []*jose.KEK) (Header, error) {
	r, err := newReader(from, keks, "")
	if err != nil {
		return Header{}, err
	}
	return r.header, nil
}

// Check reads an export to its end and finds out whether all of it can be imported into a namespace: that
// every line is what was written in its place, and that every record opens. One of keks authenticates it, and
// all of them together open what is sealed in it. What is wrong is a *LineError, unless reading fails. It
// holds eight octets for each identifier of a kind, 24 for each credential, and one record.
func Check(ctx context.Context, from io.ReadSeeker, keks []*jose.KEK, namespace string, progress func(Progress)) (*Contents, error) {
	twins := &twins{seed: maphash.MakeSeed()}
	index := &index{seed: twins.seed}
	r, err := begin(from, keks, namespace)
	if err != nil {
		return nil, err
	}
	c := &Contents{Header: r.header, first: r.chain.last, keks: keks, namespace: namespace}
	if err := r.walk(ctx, progress, func(rec record) error {
		twins.add(rec)
		index.add(rec)
		return nil
	}); err != nil {
		return nil, err
	}
	c.End, c.last = *r.end, r.chain.last
	if err := index.missing(); err != nil {
		return nil, err
	}
	if twins.close(); twins.found == nil {
		return c, nil
	}
	if r, err = c.again(from); err == nil {
		err = r.walk(ctx, nil, twins.name)
	}
	return c, err
}

// begin reads an export from its beginning.
func begin(from io.ReadSeeker, keks []*jose.KEK, namespace string) (*reader, error) {
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return newReader(from, keks, namespace)
}

// again begins to read what was checked. Something else is ErrExchanged, now or when its first line comes that
// differs.
func (c *Contents) again(from io.ReadSeeker) (*reader, error) {
	r, err := begin(from, c.keks, c.namespace)
	if err != nil {
		return nil, err
	}
	if r.chain.last != c.first {
		return nil, ErrExchanged
	}
	r.checked = true
	return r, nil
}

// walk reads an export to its end.
func (r *reader) walk(ctx context.Context, progress func(Progress), fn func(record) error) error {
	for n := 0; ; n++ {
		if n%progressEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if progress != nil {
				progress(Progress{n, r.lines.octets})
			}
		}
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			if progress != nil {
				progress(Progress{n, r.lines.octets})
			}
			return nil
		}
		if err == nil {
			err = fn(rec)
		}
		if err != nil {
			return err
		}
	}
}

// index finds out whether each credential of a client is in the credential index, as that client's. One that is not could be given
// to another client, and a secret that is lost would not be known for whose it is. It remembers hashes.
type index struct {
	seed maphash.Seed
	held []held
	// entries are hashes of what the index has.
	entries []uint64
}

// held is a credential that a client has.
type held struct {
	hash uint64
	line int // of the client
}

func (x *index) hash(id authz.CredentialID, owner authz.ClientID) uint64 {
	return maphash.String(x.seed, fmt.Sprintf("%d:%s%s", len(id), id, owner))
}

func (x *index) add(r record) {
	for _, c := range r.credentials {
		x.held = append(x.held, held{x.hash(c.ID, authz.ClientID(r.Key)), r.line})
	}
	if r.Kind == store.KindCredential {
		x.entries = append(x.entries, x.hash(authz.CredentialID(r.Key), r.owner))
	}
}

// missing returns an error for the first client that has a credential which is not in the index.
func (x *index) missing() error {
	slices.Sort(x.entries)
	for _, h := range x.held {
		if _, there := slices.BinarySearch(x.entries, h.hash); !there {
			return &LineError{Line: h.line, Reason: "the client has a credential that the credential index does not have as its own", Err: ErrContent}
		}
	}
	return nil
}

// twins finds identifiers that a kind has twice. It remembers hashes of one kind at a time; if two are the
// same, the file is read again, to tell identifiers that are the same from hashes that are.
type twins struct {
	seed   maphash.Seed
	kind   store.Kind
	hashes []uint64
	found  map[uint64]bool
	names  map[string]bool
}

func (t *twins) hash(r record) uint64 { return maphash.String(t.seed, string(r.Kind)+":"+r.Key) }

func (t *twins) add(r record) {
	if r.Kind == store.KindAudit { // which is counted
		return
	}
	if r.Kind != t.kind {
		t.close()
		t.kind = r.Kind
	}
	t.hashes = append(t.hashes, t.hash(r))
}

func (t *twins) close() {
	slices.Sort(t.hashes)
	for i := 1; i < len(t.hashes); i++ {
		if t.hashes[i] == t.hashes[i-1] {
			if t.found == nil {
				t.found = map[uint64]bool{}
			}
			t.found[t.hashes[i]] = true
		}
	}
	t.hashes = t.hashes[:0]
}

// name returns an error for the second of two that are the same.
func (t *twins) name(r record) error {
	if r.Kind == store.KindAudit || !t.found[t.hash(r)] {
		return nil
	}
	key := string(r.Kind) + ":" + r.Key
	if t.names[key] {
		return &LineError{Line: r.line, Reason: fmt.Sprintf("the %s %q is there twice", r.Kind, r.Key), Err: ErrContent}
	}
	if t.names == nil {
		t.names = map[string]bool{}
	}
	t.names[key] = true
	return nil
}
