package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// filling puts clients into Redis that equal one which a server registered, as the server would have put
// them there.
type filling struct {
	*padding
	redis    *redis
	prefix   string // of every key
	envelope *store.Envelope
	entry    string // of the audit log, about the pattern
	entries  int64  // in the audit log, up to that one
}

// namespace is what store.namespace is by default.
const namespace = "marque"

// openFilling opens the installation with its key-encryption key, and reads the pattern, which must be
// the last client that was registered.
func openFilling(redis *redis, kekFile string, s secrets) (*filling, error) {
	f := &filling{redis: redis, prefix: "{" + namespace + "}:"}
	kek, err := keys.ReadKEKFile(kekFile)
	if err != nil {
		return nil, err
	}
	record, err := redis.wire.text("GET", f.prefix+"installation")
	if err != nil {
		return nil, err
	}
	installation, err := store.DecodeInstallation(namespace, []byte(record))
	if err != nil {
		return nil, err
	}
	opened, err := installation.Open([]*jose.KEK{kek})
	if err != nil {
		return nil, err
	}
	if f.envelope, err = store.NewEnvelope(opened.RecordKey, namespace); err != nil {
		return nil, err
	}
	f.padding = newPadding(opened.Pepper, s)
	return f, errors.Join(f.readPattern(), f.readEntry())
}

func (f *filling) readPattern() error {
	id := authz.ClientID(filledID(0))
	record, err := f.redis.wire.text("GET", f.recordKey(store.KindClient, string(id)))
	if err != nil {
		return err
	}
	f.pattern, err = f.envelope.OpenClient(id, []byte(record))
	if err == nil && len(f.pattern.Credentials) != 1 {
		err = fmt.Errorf("the pattern has %d credentials", len(f.pattern.Credentials))
	}
	return err
}

// readEntry reads the last entry of the audit log.
func (f *filling) readEntry() error {
	said, err := f.redis.wire.do("XREVRANGE", f.prefix+"audit", "+", "-", "COUNT", "1")
	if err != nil {
		return err
	}
	number, entry, ok := entryIn(said)
	if !ok || !strings.Contains(entry, filledID(0)) {
		return errors.New("the last entry of the audit log is not about the pattern")
	}
	f.entries, f.entry = number, entry
	return nil
}

// entryIn takes an answer of one entry apart: [[NUMBER-0, [entry, TEXT]]].
func entryIn(said any) (number int64, text string, ok bool) {
	all, _ := said.([]any)
	if len(all) != 1 {
		return 0, "", false
	}
	one, _ := all[0].([]any)
	if len(one) != 2 {
		return 0, "", false
	}
	id, _ := one[0].(string)
	fields, _ := one[1].([]any)
	if len(fields) != 2 {
		return 0, "", false
	}
	number, err := strconv.ParseInt(strings.TrimSuffix(id, "-0"), 10, 64)
	text, ok = fields[1].(string)
	return number, text, ok && err == nil
}

func (f *filling) recordKey(kind store.Kind, id string) string {
	return f.prefix + string(kind) + ":" + id
}

// sendRecords sends what a registration leaves of a client, and returns how many commands that are.
func (f *filling) sendRecords(i int) (int, error) {
	c := f.client(i)
	record, err := f.envelope.SealClient(c)
	if err != nil {
		return 0, err
	}
	owner, err := f.envelope.SealOwner(c.Credentials[0].ID, c.ID)
	if err != nil {
		return 0, err
	}
	w := f.redis.wire
	w.send("SET", f.recordKey(store.KindClient, string(c.ID)), string(record))
	w.send("ZADD", f.prefix+string(store.KindClient)+"-index", "0", string(c.ID))
	w.send("SET", f.recordKey(store.KindCredential, string(c.Credentials[0].ID)), string(owner))
	return 3, nil
}

// sendEntry sends what a registration leaves in the audit log. The log is numbered without gaps.
func (f *filling) sendEntry(i int) (int, error) {
	text := strings.NewReplacer(filledID(0), filledID(i), string(f.pattern.Credentials[0].ID), filledCredential(i)).Replace(f.entry)
	f.redis.wire.send("XADD", f.prefix+"audit", strconv.FormatInt(f.entries+int64(i), 10)+"-0", "entry", text)
	return 1, nil
}

// fillBatch is how many clients are sent at once.
const fillBatch = 1_000

// each sends something of each client from the second to the n-th. While Redis works on a batch, the next
// one is made.
func (f *filling) each(ctx context.Context, n int, send func(i int) (commands int, err error)) error {
	unanswered := 0
	for from := 1; from < n; from += fillBatch {
		sent := 0
		for i := from; i < min(from+fillBatch, n); i++ {
			commands, err := send(i)
			if err != nil {
				return err
			}
			sent += commands
		}
		err := errors.Join(f.redis.wire.flush(), f.answers(unanswered), ctx.Err())
		if err != nil {
			return err
		}
		unanswered = sent
	}
	return f.answers(unanswered)
}

func (f *filling) answers(n int) error {
	for range n {
		if _, err := f.redis.wire.receive(); err != nil {
			return err
		}
	}
	return nil
}
