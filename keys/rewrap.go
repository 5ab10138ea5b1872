package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// The actions of audit entries of a move to another key-encryption key. The target is the ring's algorithm,
// or the issuer.
const (
	ActionRewrap             = "key.rewrap"
	ActionRewrapInstallation = "installation.rewrap"
)

// maxProofs bounds how often Rewrap looks again because something was sealed meanwhile.
const maxProofs = 8

// Rewrapped says what a move to another key-encryption key did.
type Rewrapped struct {
	KEKID   string   // under which everything rests now
	Before  []string // others under which something rested until now, in order; empty: nothing had to move
	Keys    int      // private signing keys that rest under it
	Secrets int      // the pepper and the record key
}

// Rewrap moves everything that rests sealed in the store, private signing keys, pepper and record key, to
// the first of Config.KEKs, and then proves that no other is needed any more: it reads all back from the
// store and opens it with that one alone. The secrets stay what they are. Every node must be able to open
// what rests under it before: name it on all of them first. Each ring, and the installation record, is one
// commit; after an error ask again. Copies of the store that were made before need the earlier one for ever.
func (r *Ring) Rewrap(ctx context.Context, g Genesis, by audit.Origin) (Rewrapped, error) {
	if err := r.enter(ctx); err != nil {
		return Rewrapped{}, err
	}
	defer r.leave()
	before := map[string]bool{}
	for range maxProofs {
		if err := r.rewrapAll(ctx, g, before, by); err != nil {
			return Rewrapped{}, fmt.Errorf("keys: rewrap: %w", err)
		}
		done, err := r.proveRewrapped(ctx, g)
		if errors.Is(err, ErrWrongKEK) { // another node sealed something in between
			continue
		}
		if err != nil {
			return Rewrapped{}, fmt.Errorf("keys: rewrap: %w", err)
		}
		done.Before = slices.Sorted(maps.Keys(before))
		return done, nil
	}
	return Rewrapped{}, fmt.Errorf("keys: rewrap: %w: other nodes go on sealing under it", ErrWrongKEK)
}

// rewrapAll moves the rings first: as long as the record names the earlier key, a node that starts knows that
// both may be needed.
func (r *Ring) rewrapAll(ctx context.Context, g Genesis, before map[string]bool, by audit.Origin) error {
	now := r.config.Now()
	if err := r.load(ctx, now); err != nil {
		return err
	}
	for _, alg := range slices.Sorted(maps.Keys(r.current.Load().rings)) {
		if err := r.act(ctx, alg, now, by, func(rec RingRecord) (*step, error) { return r.rewrapping(rec, before) }); err != nil {
			return err
		}
	}
	return r.rewrapInstallation(ctx, g, before, by)
}

// rewrapping seals anew what rests under another key-encryption key, the private parts of withdrawn keys that
// are not buried yet among it.
func (r *Ring) rewrapping(rec RingRecord, before map[string]bool) (*step, error) {
	to, n, moved := r.config.KEKs[0], rec.clone(), false
	for i := range n.Keys {
		k := &n.Keys[i]
		if k.Sealed == "" {
			continue
		}
		id, err := jose.SealedBy(k.Sealed)
		if err != nil {
			return nil, fmt.Errorf("private part of key %q: %w", k.KeyID, err)
		}
		if id == to.ID() {
			continue
		}
		if k.Sealed, err = r.sealer.reseal(rec.Algorithm, *k, to); err != nil {
			return nil, err
		}
		before[id], moved = true, true
	}
	if !moved {
		return nil, nil
	}
	return &step{ring: n, action: ActionRewrap, target: string(rec.Algorithm)}, nil
}

// reseal opens what rests of a private key and seals it under another key-encryption key.
func (s sealer) reseal(ring jose.Algorithm, k Key, to *jose.KEK) (string, error) {
	handle, err := s.handle(ring, k)
	if err != nil {
		return "", err
	}
	defer clear(handle)
	return jose.Seal(to, s.bindings(ring, k), handle)
}

// rewrapInstallation does the same for the installation record.
func (r *Ring) rewrapInstallation(ctx context.Context, g Genesis, before map[string]bool, by audit.Origin) error {
	to := r.config.KEKs[0]
	for range maxConflicts {
		in, err := g.Installation(ctx)
		if err != nil {
			return err
		}
		if in.ID != r.config.Installation {
			return fmt.Errorf("%w: it is another installation than at the start", ErrRegressed)
		}
		if in.KEKID == to.ID() {
			return r.confirm(ctx)
		}
		next, err := in.rewrapped(r.config.KEKs, to)
		if err != nil {
			return err
		}
		e := by.Done(r.config.Now(), ActionRewrapInstallation, in.Issuer)
		if e.Before, e.After, err = audit.Diff(audit.View{"kek_id": in.KEKID}, audit.View{"kek_id": to.ID()}); err != nil {
			return err
		}
		switch err := g.ReplaceInstallation(ctx, in, next, e); {
		case err == nil:
			before[in.KEKID] = true
			return nil
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
	return fmt.Errorf("installation record: lost %d races in a row: %w", maxConflicts, ErrConflict)
}

// rewrapped returns the record with its secrets sealed under another key-encryption key.
func (in Installation) rewrapped(keks []*jose.KEK, to *jose.KEK) (Installation, error) {
	secrets, err := in.Open(keks)
	if err != nil {
		return Installation{}, err
	}
	in.KEKID = to.ID()
	if in, err = in.seal(to, secrets); err != nil {
		return Installation{}, err
	}
	// A record that does not open is the end of the installation: it is tried before it is written.
	if again, err := in.Open([]*jose.KEK{to}); err != nil || again != secrets {
		return Installation{}, fmt.Errorf("%w: as it would be written", ErrDamaged)
	}
	return in, nil
}

// proveRewrapped opens everything that rests in the store with the first key-encryption key alone. If that
// one is not enough the error is ErrWrongKEK.
func (r *Ring) proveRewrapped(ctx context.Context, g Genesis) (Rewrapped, error) {
	alone := r.sealer
	alone.keks = r.config.KEKs[:1]
	done := Rewrapped{KEKID: alone.keks[0].ID()}
	in, err := g.Installation(ctx)
	if err != nil {
		return Rewrapped{}, err
	}
	if _, err := in.Open(alone.keks); err != nil {
		return Rewrapped{}, err
	}
	done.Secrets = 2
	rings, err := r.config.Rings.Rings(ctx)
	if err != nil {
		return Rewrapped{}, err
	}
	for _, rec := range rings {
		for _, k := range rec.Keys {
			if k.Sealed == "" {
				continue
			}
			handle, err := alone.handle(rec.Algorithm, k)
			if err != nil {
				return Rewrapped{}, err
			}
			clear(handle)
			done.Keys++
		}
	}
	return done, nil
}
