package moving_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

var errPulled = errors.New("the plug was pulled")

// fake is a namespace in memory, with a Mover that does what the contract says, and a feed. It is also a
// keys.Genesis, to be made with.
type fake struct {
	mu        sync.Mutex
	records   map[store.Kind][]store.Stored
	in        []byte // the installation record
	floor     uint64
	importing string
	done      int
	closed    string
	claimed   string
	settled   bool
	changes   []store.Change
	deaf      bool // the first answer of Complete is lost

	commits   int
	pullAfter int                          // commits until everything fails; 0: never
	onDump    func(kind store.Kind, n int) // is called before the nth record of a kind is given out
}

func newFake() *fake { return &fake{records: map[store.Kind][]store.Stored{}} }

func (f *fake) Installation(context.Context) (keys.Installation, error) {
	if f.in == nil {
		return keys.Installation{}, keys.ErrNotFound
	}
	return store.DecodeInstallation("fake", f.in)
}

func (f *fake) PutInstallation(_ context.Context, in keys.Installation, e audit.Entry) (keys.Installation, error) {
	var err error
	if f.in, err = store.EncodeInstallation(in); err != nil {
		return keys.Installation{}, err
	}
	return in, f.log(e)
}

func (f *fake) ReplaceInstallation(context.Context, keys.Installation, keys.Installation, audit.Entry) error {
	return errors.New("not here")
}

func (f *fake) log(e audit.Entry) error {
	b, err := store.EncodeEntry(e)
	f.add(store.KindAudit, strconv.Itoa(len(f.records[store.KindAudit])+1), b)
	return err
}

func (f *fake) add(kind store.Kind, key string, octets []byte) {
	f.records[kind] = append(f.records[kind], store.Stored{Kind: kind, Key: key, Octets: octets})
}

func (f *fake) get(kind store.Kind, key string) []byte {
	for _, s := range f.records[kind] {
		if s.Key == key {
			return s.Octets
		}
	}
	return nil
}

func (f *fake) Dump(_ context.Context, kind store.Kind, fn func(store.Stored) error) error {
	if kind == store.KindInstallation {
		if f.in == nil {
			return nil
		}
		return fn(store.Stored{Kind: kind, Key: "fake", Octets: f.in})
	}
	for n := 0; n < len(f.records[kind]); n++ {
		if f.onDump != nil {
			f.onDump(kind, n)
		}
		if err := fn(f.records[kind][n]); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Floor(context.Context) (uint64, error) { return f.floor, nil }

func (f *fake) Note(_ context.Context, e audit.Entry) error { return f.log(e) }

func (f *fake) CloseFor(_ context.Context, export string) error {
	if f.claimed != "" {
		return store.ErrMoved
	}
	f.closed = export
	return nil
}

func (f *fake) Reopen(context.Context) error {
	if f.claimed != "" {
		return store.ErrMoved
	}
	f.closed = ""
	return nil
}

func (f *fake) Claim(_ context.Context, export, by string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != export {
		return false, store.ErrNotClosed
	}
	if f.claimed == "" {
		f.claimed = by
	}
	if f.claimed == by && f.settled {
		return false, store.ErrSettled
	}
	return f.claimed == by, nil
}

func (f *fake) Settle(_ context.Context, export, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != export || f.claimed != by {
		return store.ErrNotClosed
	}
	f.settled = true
	return nil
}

func (f *fake) Imported(_ context.Context, export string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.in != nil || f.importing != "" && f.importing != export {
		return 0, store.ErrOccupied
	}
	return f.done, nil
}

func (f *fake) Restore(_ context.Context, export string, done int, records []store.Stored) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restore(export, done, records)
}

func (f *fake) restore(export string, done int, records []store.Stored) error {
	if f.pullAfter > 0 && f.commits == f.pullAfter {
		return errPulled
	}
	if f.in != nil || done != f.done || f.importing != "" && f.importing != export {
		return store.ErrOccupied
	}
	if err := store.CheckStored(records); err != nil {
		return err
	}
	f.commits++
	f.importing = export
	f.done += len(records)
	for _, r := range records {
		f.add(r.Kind, r.Key, bytes.Clone(r.Octets))
	}
	return nil
}

func (f *fake) Complete(_ context.Context, export string, done int, last []store.Stored, floor uint64, in keys.Installation, e audit.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	record, err1 := store.EncodeInstallation(in)
	entry, err2 := store.EncodeEntry(e)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	if log := f.records[store.KindAudit]; bytes.Equal(f.in, record) && bytes.Equal(log[len(log)-1].Octets, entry) {
		return nil
	}
	if err := f.restore(export, done, last); err != nil {
		return err
	}
	f.floor, f.importing, f.in = floor, "", record
	if err := f.log(e); err != nil || !f.deaf {
		return err
	}
	f.deaf = false
	return errPulled
}

func (f *fake) Head(context.Context) (store.Cursor, error) {
	return store.Cursor(strconv.Itoa(len(f.changes))), nil
}

func (f *fake) Changes(_ context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	at, err := strconv.Atoi(string(after))
	if err != nil {
		return nil, "", store.ErrCursor
	}
	end := min(at+limit, len(f.changes))
	return slices.Clone(f.changes[at:end]), store.Cursor(strconv.Itoa(end)), nil
}
