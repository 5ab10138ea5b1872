package keys

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// Verifiers may refuse a set of more than jose.MaxSetKeys keys: all tokens, because of imports.
func TestJWK13_ImportsLeaveRoomInTheJWKS(t *testing.T) {
	w := newWorld(t)
	var err error
	imported := 0
	for err == nil && imported <= jose.MaxSetKeys {
		in := ImportedKey{Key: makeKey(t, jose.ES256), Algorithm: jose.ES256, KeyID: fmt.Sprint("theirs/", imported)}
		if _, err = w.Import(bg, in, admin); err == nil {
			imported++
		}
	}
	if !errors.Is(err, ErrTooManyKeys) || !strings.Contains(err.Error(), "none leaves by itself") {
		t.Errorf("after %d imports: %v, want ErrTooManyKeys", imported, err)
	}
	if n := len(published(t, w.Ring)); n != maxImporting {
		t.Errorf("%d keys are published, want %d", n, maxImporting)
	}
	w.after(DefaultPublishLead)
	if r := w.rotate(); !r.SignFrom.Equal(w.clock.Now()) {
		t.Errorf("%+v: imports must not keep keys from rotating", r)
	}
	if err := w.Withdraw(bg, "theirs/9", admin); err != nil {
		t.Errorf("the way out: %v", err)
	}
}

// A verifier may keep a JWK by its kid for longer than a ring remembers what it withdrew.
func TestJWK04_TheNameOfAnImportedKeyIsNeverFreeAgain(t *testing.T) {
	w := newWorld(t)
	in := func() ImportedKey {
		return ImportedKey{Key: makeKey(t, jose.ES256), Algorithm: jose.ES256, KeyID: "k"}
	}
	if _, err := w.Import(bg, in(), admin); err != nil {
		t.Fatal(err)
	}
	if err := w.Withdraw(bg, "k", admin); err != nil {
		t.Fatal(err)
	}
	for range keptWithdrawn + 1 {
		w.clock.Advance(time.Second)
		if err := w.Withdraw(bg, w.kid(StateNext), admin); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Import(bg, in(), admin); !errors.Is(err, ErrDuplicate) {
		t.Errorf("another key under its name: error %v, want ErrDuplicate", err)
	}
	r := w.store.ring(jose.ES256)
	n := r.clone()
	n.Keys = n.Keys[:0:0]
	for _, k := range r.Keys {
		if !k.Imported {
			n.Keys = append(n.Keys, k)
		}
	}
	if err := legal(r, n, w.clock.Now()); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("forgotten: error %v, want ErrIllegalStep", err)
	}
}

// What was asked for is done, whatever becomes of what follows on it.
func TestROT12_WithdrawnAlthoughNoOtherKeyCanBePublishedYet(t *testing.T) {
	w := newWorld(t)
	kid, writes := w.kid(StateNext), 0
	w.store.before = func(RingRecord) error {
		if writes++; writes > 1 {
			return errCutOff
		}
		return nil
	}
	if err := w.Withdraw(bg, kid, admin); err != nil || writes != 2 {
		t.Errorf("error %v after %d writes, and it is withdrawn", err, writes)
	}
	if got := w.store.ring(jose.ES256).State(kid, w.clock.Now()); got != StateWithdrawn {
		t.Errorf("it is %s", got)
	}
	w.store.before = nil
	w.step()
	if w.kid(StateNext) == kid {
		t.Error("it came back")
	}
}
