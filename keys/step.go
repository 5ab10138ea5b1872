package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	// maxConflicts bounds how often one act on one ring starts again. Each conflict means that
	// another node got a step done, and a ring has only a few steps to do.
	maxConflicts = 16

	// maxSteps bounds the commits of one act on one ring, should a plan ever run in a circle.
	maxSteps = 256
)

// Step reads the rings and carries out what is due at now: a ring for each algorithm in use, a next
// key for each ring, longer windows where settings grew, the end of withdrawn private keys. It is
// called at start and once each refresh interval; calling it more often, or on many nodes at once,
// does no harm. One ring's trouble does not keep the others waiting: errors are joined, and the last
// good snapshot stays in force.
func (r *Ring) Step(ctx context.Context, now time.Time) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	if err := r.load(ctx, now); err != nil {
		return err
	}
	algorithms, err := r.inUse(ctx)
	errs := []error{err}
	for _, alg := range algorithms {
		errs = append(errs, r.settle(ctx, alg, now, system()))
	}
	return errors.Join(errs...)
}

// inUse returns the default algorithm, those of resources, and those of which there is a ring, in order. It
// returns what it knows beside an error.
func (r *Ring) inUse(ctx context.Context) ([]jose.Algorithm, error) {
	set := map[jose.Algorithm]bool{r.config.Default: true}
	for alg := range r.current.Load().rings {
		set[alg] = true
	}
	var err error
	if r.config.Algorithms != nil {
		var used []jose.Algorithm
		if used, err = r.config.Algorithms(ctx); err != nil {
			err = fmt.Errorf("keys: which algorithms are in use: %w", err)
		}
		for _, alg := range used {
			canonical, bad := jose.ParseAlgorithm(string(alg))
			if bad != nil {
				err = errors.Join(err, fmt.Errorf("keys: a resource uses %q: %w", alg, bad))
				continue
			}
			set[canonical] = true
		}
	}
	return slices.Sorted(maps.Keys(set)), err
}

// settle does what is due for one ring. The caller has the turn and has loaded.
func (r *Ring) settle(ctx context.Context, alg jose.Algorithm, now time.Time, by audit.Origin) error {
	_, err := r.advance(ctx, alg, now, by, func(rec RingRecord) (*step, error) { return r.due(ctx, rec, now) })
	return err
}

// due returns the next step that the time asks of a ring, or nil.
func (r *Ring) due(ctx context.Context, rec RingRecord, now time.Time) (*step, error) {
	if len(rec.Keys) == 0 {
		return r.firstKey(ctx, rec, now)
	}
	if s := rec.lengthen(now, r.windows); s != nil {
		return s, nil
	}
	if rec.lacksNext(now) {
		return r.nextKey(ctx, rec, now)
	}
	if s := rec.bury(now); s != nil {
		return s, nil
	}
	return r.rotation(rec, now)
}

func (r *Ring) firstKey(ctx context.Context, rec RingRecord, now time.Time) (*step, error) {
	k, err := r.generate(ctx, rec, now)
	if err != nil {
		return nil, err
	}
	return rec.publishFirst(k, now, r.windows, r.firstWait()), nil
}

// firstWait is how long the first key of a ring is published before it signs.
func (r *Ring) firstWait() time.Duration {
	if r.config.FirstKeyAtOnce {
		return 0
	}
	return roundUp(r.config.RefreshInterval)
}

func (r *Ring) nextKey(ctx context.Context, rec RingRecord, now time.Time) (*step, error) {
	k, err := r.generate(ctx, rec, now)
	if err != nil {
		return nil, err
	}
	return rec.publish(k, now, r.windows), nil
}

// generate makes a key for a ring.
func (r *Ring) generate(ctx context.Context, rec RingRecord, now time.Time) (Key, error) {
	kek, err := r.kek(rec)
	if err != nil {
		return Key{}, err
	}
	return r.sealer.generate(ctx, rec.Algorithm, kek, now)
}

// kek returns the key-encryption key that seals for a ring.
func (r *Ring) kek(rec RingRecord) (*jose.KEK, error) {
	var others map[jose.Algorithm]RingRecord
	if s := r.current.Load(); s != nil {
		others = s.rings
	}
	return r.sealer.kek(rec, others)
}

// act is advance for what somebody asked for. When that is there already, an earlier attempt may have stored
// it and failed afterwards: it is acknowledged once it is as durable as a change has to be.
func (r *Ring) act(ctx context.Context, alg jose.Algorithm, now time.Time, by audit.Origin, plan func(RingRecord) (*step, error)) error {
	changed, err := r.advance(ctx, alg, now, by, plan)
	if err != nil || changed {
		return err
	}
	return r.confirm(ctx)
}

func (r *Ring) confirm(ctx context.Context) error {
	if r.config.Confirm == nil {
		return nil
	}
	return r.config.Confirm(ctx)
}

// advance commits one step of a ring after another until plan has none left. When another node was
// faster, it reads again and plan decides anew. It reports whether it committed any. The caller has the turn
// and has loaded.
func (r *Ring) advance(ctx context.Context, alg jose.Algorithm, now time.Time, by audit.Origin, plan func(RingRecord) (*step, error)) (changed bool, err error) {
	conflicts := 0
	for range maxSteps {
		rec := r.held(alg)
		s, err := plan(rec)
		if err != nil || s == nil {
			return changed, err
		}
		switch err := r.commit(ctx, rec, s, now, by); {
		case err == nil:
			changed = true
		case errors.Is(err, ErrConflict):
			if conflicts++; conflicts > maxConflicts {
				return changed, fmt.Errorf("keys: ring %s: lost %d races in a row: %w", alg, conflicts, err)
			}
			if err := r.load(ctx, now); err != nil {
				return changed, err
			}
		default:
			return changed, err
		}
	}
	return changed, fmt.Errorf("keys: ring %s: no end of steps", alg)
}

// commit stores one step and adopts it. An error other than ErrConflict and ErrIllegalStep leaves
// open whether it was stored; the next load tells.
func (r *Ring) commit(ctx context.Context, from RingRecord, s *step, now time.Time, by audit.Origin) error {
	if err := legal(from, s.ring, now); err != nil {
		return err
	}
	if by.Reason == "" {
		by.Reason = s.reason
	}
	entry := by.Done(now, s.action, s.target)
	var err error
	if entry.Before, entry.After, err = audit.Diff(views(from, s.ring, s.target, now)); err != nil {
		return err
	}
	stored, err := r.config.Rings.PutRing(ctx, s.ring, entry)
	if err != nil {
		return fmt.Errorf("keys: ring %s: %s: %w", from.Algorithm, s.action, err)
	}
	r.config.Log.LogAttrs(ctx, slog.LevelInfo, "signing keys changed",
		slog.String("action", s.action), slog.String("target", s.target),
		slog.String("alg", string(from.Algorithm)), slog.String("actor", by.Actor.String()))
	return r.adopt(ctx, stored, now)
}
