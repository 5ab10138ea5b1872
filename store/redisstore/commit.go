package redisstore

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

var (
	//go:embed prepare.lua
	prepareLua    string
	prepareScript = redis.NewScript(openedLua + prepareLua)

	//go:embed opened.lua
	openedLua string // what scripts begin with

	//go:embed audit.lua
	auditLua string // and then those that write to the audit log

	//go:embed commit.lua
	commitLua    string
	commitScript = redis.NewScript(openedLua + auditLua + commitLua)
)

// changesKept is how long changes are kept: longer than any token lives, and than any follower lags that
// does not reload everything anyway.
const changesKept = 2 * time.Hour

// What the scripts return.
const (
	saidDone     = int64(1)
	saidConflict = int64(0)
	saidOther    = int64(-1) // with the mark that is there
	saidDamaged  = int64(-2) // with what is, and why
)

// put is a record to be stored.
type put struct {
	kind     store.Kind
	key      string    // its identifier
	expected uint64    // the version that it replaces; 0: none
	end      time.Time // when Redis is to remove it; zero: never

	// check authenticates what is there, which is nil for nothing, and reports whether that may stay. An
	// error means that it must not be replaced either.
	check func(there []byte) (stays bool, err error)
	// seal returns the record in that version.
	seal func(version uint64) ([]byte, error)

	there  []byte // as read
	sealed []byte
	number uint64 // the version that is sealed
}

// commit stores the puts and the audit entry in one commit, or nothing of it. What is there is read and
// authenticated first: a record that is damaged, or of a newer format, is an error and stays as it is. The
// script then compares what it replaces, octet by octet, with what was read. conflict is the contract's
// own sentinel for "changed meanwhile".
func (s *Store) commit(ctx context.Context, e audit.Entry, conflict error, puts []*put) error {
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	for _, p := range puts { // what cannot be stored is refused before anybody is asked
		if p.sealed, err = p.seal(p.expected + 1); err != nil {
			return err
		}
		p.number = p.expected + 1
	}
	began := time.Now()
	number, err := s.prepare(ctx, puts)
	if err != nil {
		return err
	}
	if puts, err = changing(puts); err != nil {
		return err
	}
	if err := renumber(puts, number); err != nil {
		return err
	}
	said, err := s.db.write(ctx, s.db.config.writeTimeout()-time.Since(began), s.script(entry, puts))
	wrong := s.db.wrongSaid(said)
	switch {
	case said == saidConflict:
		return fmt.Errorf("%s %q: %w", puts[0].kind, puts[0].key, conflict)
	case wrong != nil:
		return wrong
	case err == nil && said != saidDone:
		return fmt.Errorf("redisstore: the script that commits said %v", said)
	}
	return err
}

// changing returns the puts that change something.
func changing(puts []*put) ([]*put, error) {
	var out []*put
	for _, p := range puts {
		stays, err := p.check(p.there)
		if err != nil {
			return nil, err
		}
		if !stays {
			out = append(out, p)
		}
	}
	return out, nil
}

// takesNumber reports whether the put makes a revocation that Redis will remove.
func (p *put) takesNumber() bool { return p.expected == 0 && !p.end.IsZero() }

// renumber gives new revocations their version. Redis removes those that have ended by itself, and no
// later one of the same subject may have a version that one of them had: who has read the old one could
// write over the new one in its place. So the highest version that an ended one can have had is kept, the
// floor, and new ones come after it. A commit with some that will end themselves takes a number from the
// floor beforehand: were it raised by the commit alone, of two that are made at once one would have to be
// sealed again.
func renumber(puts []*put, number uint64) error {
	for _, p := range puts {
		if p.kind != store.KindRevocation || p.expected != 0 || p.number == number {
			continue
		}
		var err error
		if p.sealed, err = p.seal(number); err != nil {
			return err
		}
		p.number = number
	}
	return nil
}

// prepare reads what is there, and returns the version that new revocations get. It may be run twice: a
// number that is taken and not used is missed by nobody.
func (s *Store) prepare(ctx context.Context, puts []*put) (number uint64, err error) {
	keys := []string{s.db.names.of(nameEpoch), s.db.names.of(nameFloor)}
	for _, p := range puts {
		keys = append(keys, s.db.names.record(p.kind, p.key))
	}
	takes := 0
	if slices.ContainsFunc(puts, (*put).takesNumber) {
		takes = 1
	}
	prepare := script{prepareScript, keys, []any{s.db.mark, takes}}
	began := time.Now()
	said, err := s.db.run(ctx, s.db.config.CallTimeout, prepare, false)
	if left := s.db.config.CallTimeout - time.Since(began); err != nil && !answered(err) && ctx.Err() == nil && left > 0 {
		said, err = s.db.run(ctx, left, prepare, false)
	}
	if err != nil {
		return 0, err
	}
	if err := s.db.wrongSaid(said); err != nil {
		return 0, err
	}
	if answer, _ := said.([]any); len(answer) == 2 {
		number, ok1 := answer[0].(int64)
		records, ok2 := answer[1].([]any)
		if ok1 && ok2 && number > 0 && len(records) == len(puts) {
			for i, there := range octets(records) {
				puts[i].there = there
			}
			return uint64(number), nil
		}
	}
	return 0, fmt.Errorf("redisstore: the script that prepares a commit said something else")
}

// script is the one that commits.
func (s *Store) script(entry []byte, puts []*put) script {
	n := s.db.names
	keys := []string{n.of(nameEpoch), n.of(nameChanges), n.of(nameAudit), n.of(nameFloor), n.of(nameEnds), n.index(store.KindRevocation), n.of(nameGenesis)}
	args := []any{s.db.mark, entry, changesKept.Milliseconds(), n.record(store.KindRevocation, "")}
	for _, p := range puts {
		change, end, floor := string(p.kind), "", uint64(0)
		if p.kind == store.KindCredential {
			change = ""
		}
		if !p.end.IsZero() {
			end, floor = strconv.FormatInt(p.end.UnixMilli(), 10), p.number
		}
		keys = append(keys, n.record(p.kind, p.key), n.index(p.kind))
		args = append(args, p.there, p.sealed, change, p.key, end, floor)
	}
	return script{commitScript, keys, args}
}

// versioned returns the check of a put that replaces the version which it expects.
func (p *put) versioned(env *store.Envelope, conflict error) func([]byte) (bool, error) {
	return func(there []byte) (bool, error) {
		var version uint64
		if there != nil {
			var err error
			if version, _, err = env.Open(p.kind, p.key, there); err != nil {
				return false, err
			}
		}
		if version != p.expected {
			return false, fmt.Errorf("%s %q: %w", p.kind, p.key, conflict)
		}
		return false, nil
	}
}
