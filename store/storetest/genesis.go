package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// GenesisFixture is one store without an installation record.
type GenesisFixture struct {
	Genesis keys.Genesis
	Peer    keys.Genesis // another handle on the same data
	Log     store.Audit  // of the same data
	Raw     Raw          // with kind store.KindInstallation and the empty key
}

// RunGenesis tests a driver's keys.Genesis. open returns a new, empty store.
func RunGenesis(t *testing.T, open func(t *testing.T) GenesisFixture) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, GenesisFixture)
	}{
		{"absent", genesisAbsent},
		{"put if absent", genesisPut},
		{"race", genesisRace},
		{"replace", genesisReplace},
		{"replace octet by octet", genesisReplaceOctets},
		{"replace by another installation", genesisReplaceAnother},
		{"race to replace", genesisRaceToReplace},
		{"no lost replacement", genesisNoLostReplacement},
		{"damaged", genesisDamaged},
		{"refused", genesisRefused},
		{"ended context", genesisEndedContext},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// FullInstallation returns an installation record in which every field is set.
func FullInstallation(id string) keys.Installation {
	return keys.Installation{
		Format:    1,
		ID:        id,
		Issuer:    "https://auth.example/é",
		Dev:       true,
		KEKID:     "kek-1",
		Pepper:    "eyJ.pepper",
		RecordKey: "eyJ.record",
		MAC:       []byte("0123456789abcdef0123456789abcde\x00"),
		CreatedAt: at,
	}
}

func wantEntries(t *testing.T, log store.Audit, want ...audit.Entry) {
	t.Helper()
	got, _, err := log.Entries(t.Context(), "", 100)
	if err != nil {
		t.Fatalf("Entries: %v", err)
	}
	if d := Diff(unplaced(got), want); d != "" {
		t.Errorf("audit entries (-want +got):\n%s", d)
	}
}

func genesisAbsent(t *testing.T, f GenesisFixture) {
	if in, err := f.Genesis.Installation(t.Context()); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("got %+v, %v, want ErrNotFound", in, err)
	}
	wantEntries(t, f.Log)
}

func genesisPut(t *testing.T, f GenesisFixture) {
	want := FullInstallation("first")
	got, err := f.Genesis.PutInstallation(t.Context(), want, entry("first"))
	if err != nil {
		t.Fatalf("PutInstallation: %v", err)
	}
	if d := Diff(got, want); d != "" {
		t.Errorf("PutInstallation (-want +got):\n%s", d)
	}
	// The loser gets the winner's record and leaves no trace.
	got, err = f.Peer.PutInstallation(t.Context(), FullInstallation("second"), entry("second"))
	if err != nil {
		t.Fatalf("second PutInstallation: %v", err)
	}
	if d := Diff(got, want); d != "" {
		t.Errorf("second PutInstallation (-want +got):\n%s", d)
	}
	got, err = f.Peer.Installation(t.Context())
	if err != nil {
		t.Fatalf("Installation: %v", err)
	}
	if d := Diff(got, want); d != "" {
		t.Errorf("Installation (-want +got):\n%s", d)
	}
	wantEntries(t, f.Log, entry("first"))
}

func genesisRace(t *testing.T, f GenesisFixture) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	results := make([]keys.Installation, racers)
	errs := make([]error, racers)
	for i := range racers {
		g := f.Genesis
		if i%2 == 1 {
			g = f.Peer
		}
		wg.Go(func() {
			<-start
			id := fmt.Sprint(i)
			results[i], errs[i] = g.PutInstallation(t.Context(), FullInstallation(id), entry(id))
		})
	}
	close(start)
	wg.Wait()
	for i := range racers {
		if errs[i] != nil {
			t.Errorf("racer %d: %v", i, errs[i])
		}
		if d := Diff(results[i], results[0]); d != "" {
			t.Errorf("racers 0 and %d got different records:\n%s", i, d)
		}
	}
	wantEntries(t, f.Log, entry(results[0].ID))
}

// genesisDamaged: an installation record that cannot be read is not a store without one. Were it
// overwritten, every sealed secret would be lost.
func genesisDamaged(t *testing.T, f GenesisFixture) {
	if _, err := f.Genesis.PutInstallation(t.Context(), FullInstallation("first"), entry("first")); err != nil {
		t.Fatalf("PutInstallation: %v", err)
	}
	for _, c := range []struct {
		raw  string
		want error
	}{
		{``, store.ErrDamaged},
		{`{`, store.ErrDamaged},
		{`null`, store.ErrDamaged},
		{`{}`, store.ErrDamaged},
		{`{"format":0}`, store.ErrDamaged},
		{`{"format":1,"format":2}`, store.ErrDamaged},
		{`{"format":1,"id":"x","stranger":true}`, store.ErrDamaged},
		{`{"format":1,"id":7}`, store.ErrDamaged},
		{`{"format":2,"id":"x","stranger":true}`, store.ErrNewerFormat},
	} {
		f.Raw.Put(t, store.KindInstallation, "", []byte(c.raw))
		if in, err := f.Genesis.Installation(t.Context()); !errors.Is(err, c.want) || isAnswer(err) {
			t.Errorf("%s: Installation: got %+v, %v, want %v", c.raw, in, err, c.want)
		}
		if in, err := f.Peer.PutInstallation(t.Context(), FullInstallation("second"), entry("second")); !errors.Is(err, c.want) {
			t.Errorf("%s: PutInstallation: got %+v, %v, want %v", c.raw, in, err, c.want)
		}
		err := f.Genesis.ReplaceInstallation(t.Context(), FullInstallation("first"), Rewrapped(FullInstallation("first"), "kek-2"), entry("replaced"))
		if !errors.Is(err, c.want) || isAnswer(err) {
			t.Errorf("%s: ReplaceInstallation: got error %v, want %v", c.raw, err, c.want)
		}
		if got := f.Raw.Get(t, store.KindInstallation, ""); string(got) != c.raw {
			t.Errorf("%s: was overwritten with %s", c.raw, got)
		}
	}
	wantEntries(t, f.Log, entry("first"))
}

func genesisRefused(t *testing.T, f GenesisFixture) {
	newer := FullInstallation("x")
	newer.Format = keys.InstallationFormat + 1
	_, err1 := f.Genesis.PutInstallation(t.Context(), newer, entry("x"))
	_, err2 := f.Genesis.PutInstallation(t.Context(), FullInstallation("x"), audit.Entry{})
	_, err3 := f.Genesis.PutInstallation(t.Context(), FullInstallation("\xff"), entry("x"))
	for i, err := range []error{err1, err2, err3} {
		if err == nil {
			t.Errorf("case %d: got no error", i)
		}
	}
	genesisAbsent(t, f)
}

func genesisEndedContext(t *testing.T, f GenesisFixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := f.Genesis.Installation(ctx)
	_, err2 := f.Genesis.PutInstallation(ctx, FullInstallation("x"), entry("x"))
	err3 := f.Genesis.ReplaceInstallation(ctx, FullInstallation("x"), Rewrapped(FullInstallation("x"), "kek-2"), entry("x"))
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
	}
	genesisAbsent(t, f)
}
