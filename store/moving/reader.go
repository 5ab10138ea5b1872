package moving

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// reader reads an export and believes no line whose code does not follow from that of the line before it.
type reader struct {
	lines  *lines
	chain  *chain
	header Header
	keks   []*jose.KEK
	env    *store.Envelope // of where the records go

	// checked says that this very file was read before to its end. Its lines are authentic, and the codes show that they
	// are the same: so what its records say need not be found out again.
	checked bool

	order   []store.Kind // kinds that may still come
	records map[store.Kind]int
	end     *End // once its line was read
}

// record is one record as the reader found it.
type record struct {
	store.Stored
	line        int
	credentials []authz.Credential // of a client
	owner       authz.ClientID     // of a credential
	revocation  authz.Revocation   // the revocation
}

// newReader reads the header of an export whose records are to go to a namespace; none is where they were.
func newReader(from io.Reader, keks []*jose.KEK, namespace string) (*reader, error) {
	r := &reader{lines: newLines(from), keks: keks, order: kinds(), records: map[store.Kind]int{}}
	line, err := r.lines.next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file is empty: %w", ErrIncomplete)
	}
	if err != nil {
		return nil, err
	}
	secrets, err := r.readHeader(line)
	if err != nil {
		return nil, err
	}
	if namespace == "" {
		namespace = r.header.Namespace
	}
	r.env, err = store.NewEnvelope(secrets.RecordKey, namespace)
	return r, err
}

// readHeader authenticates the first line, which says by which key that is done: so it is read first, and
// nothing of it is used.
func (r *reader) readHeader(line []byte) (keys.Secrets, error) {
	content, code, ok := split(line)
	var head headForm
	if object := append(slices.Clone(content), '}'); ok && json.Unmarshal(object, &head) != nil || head.Kind != kindHeader {
		return keys.Secrets{}, r.lines.wrong(ErrAltered, "this is not how an export of marque begins")
	}
	if head.Format > Format {
		return keys.Secrets{}, r.lines.wrong(ErrNewer, fmt.Sprintf("the file says that it has format %d, and this version of marque reads %d: use the newer version, unless the line was altered", head.Format, Format))
	}
	var form headerForm
	if err := read(append(slices.Clone(content), '}'), &form); err != nil || form.Format != Format {
		return keys.Secrets{}, r.lines.wrong(ErrAltered, "it is not the header of an export: it was altered")
	}
	key, err := macKey(r.keks, form.KEKID, form.Salt)
	if err != nil {
		return keys.Secrets{}, &LineError{Line: 1, Reason: err.Error(), Err: err}
	}
	r.chain = newChain(key)
	if !r.chain.follows(content, code) {
		return keys.Secrets{}, r.lines.wrong(ErrAltered, "it was altered")
	}
	in, err := store.DecodeInstallation(form.Namespace, form.Installation)
	var secrets keys.Secrets
	if err == nil {
		secrets, err = in.Open(r.keks)
	}
	if err == nil && form.ID == "" {
		err = errForm
	}
	if err != nil {
		return keys.Secrets{}, &LineError{Line: 1, Reason: err.Error(), Err: err}
	}
	r.header = Header{
		ID: form.ID, Namespace: form.Namespace, KEKID: form.KEKID, MadeAt: form.MadeAt.UTC(), Final: form.Final, Installation: in,
	}
	return secrets, nil
}

// macKey is the key of the codes of an export: another one for each salt.
func macKey(keks []*jose.KEK, id string, salt []byte) ([32]byte, error) {
	var ids []string
	for _, k := range keks {
		if k.ID() == id {
			return k.MACKey("export", salt)
		}
		ids = append(ids, k.ID())
	}
	return [32]byte{}, fmt.Errorf("%w: it is authenticated under %q, and what is given is %s; give that key, or name its file among the previous ones (keys.previous_kek_files)",
		keys.ErrWrongKEK, id, strings.Join(ids, ", "))
}

// next returns the next record, sealed for where it goes. The error is io.EOF once the end was read, and
// nothing behind it.
func (r *reader) next() (record, error) {
	line, err := r.lines.next()
	switch {
	case errors.Is(err, io.EOF) && r.end != nil:
		return record{}, io.EOF
	case errors.Is(err, io.EOF):
		return record{}, &LineError{Line: r.lines.number + 1, Reason: "it is missing: the file was not written, or not copied, to its end", Err: ErrIncomplete}
	case err != nil:
		return record{}, err
	case r.end != nil:
		return record{}, r.lines.wrong(ErrAltered, "the export ended before it: it was added")
	}
	content, code, ok := split(line)
	if !ok || !r.chain.follows(content, code) {
		return record{}, r.lines.wrong(ErrAltered, "it was altered, or is not the line that was written behind the one before it")
	}
	object := line[:len(content)+1]
	object[len(content)] = '}' // in place of the comma before the code
	var form recordForm
	if err := read(object, &form); err != nil {
		if err := r.readEnd(object); err != nil {
			return record{}, err
		}
		return r.next()
	}
	rec, err := r.record(form)
	rec.line = r.lines.number
	return rec, err
}

// record checks what an authentic line says, and seals it.
func (r *reader) record(f recordForm) (record, error) {
	rank := slices.Index(r.order, f.Kind)
	if rank < 0 {
		return record{}, r.content(fmt.Sprintf("records of kind %q do not come here", f.Kind), nil)
	}
	r.order = r.order[rank:]
	r.records[f.Kind]++
	rec := record{Stored: store.Stored{Kind: f.Kind, Key: f.Key}}
	var err error
	if f.Kind == store.KindAudit {
		rec.Octets = f.Body
		if want := strconv.Itoa(r.records[f.Kind]); f.Key != want {
			return record{}, r.content(fmt.Sprintf("it is entry %q of the audit log, and %s was expected", f.Key, want), nil)
		}
		if f.Version != 0 || f.Format != 0 {
			return record{}, r.content("an entry of the audit log has neither version nor format", nil)
		}
		if !r.checked {
			_, err = store.DecodeEntry(f.Key, f.Body)
		}
	} else {
		if rec.Octets, err = r.env.Reseal(f.Format, f.Kind, f.Key, f.Version, f.Body); err == nil {
			err = r.open(&rec)
		}
	}
	if err != nil {
		return record{}, r.content(err.Error(), err)
	}
	return rec, nil
}

// open decodes a record, unless that was done before. What an import must know of one, it reads each time.
func (r *reader) open(rec *record) error {
	if r.checked && rec.Kind != store.KindRevocation && rec.Kind != store.KindCredential {
		return nil
	}
	return rec.open(r.env, r.keks)
}

// content is the error of a line that is authentic: whoever wrote it has the key-encryption key.
func (r *reader) content(reason string, err error) error {
	return &LineError{Line: r.lines.number, Reason: reason, Err: errors.Join(ErrContent, err)}
}

func (r *reader) readEnd(object []byte) error {
	var form endForm
	if err := read(object, &form); err != nil || form.Kind != kindEnd {
		return r.content("it is not what an export of this format has", nil)
	}
	for kind, n := range form.Records {
		if r.records[kind] != n {
			return r.content(fmt.Sprintf("it says that there are %d records of kind %q, and there were %d", n, kind, r.records[kind]), nil)
		}
	}
	if len(form.Records) != len(kinds()) {
		return r.content("it does not count every kind of record", nil)
	}
	r.end = &End{Records: form.Records, Floor: form.Floor, Changed: form.Changed}
	return nil
}
