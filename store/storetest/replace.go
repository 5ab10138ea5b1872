package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Rewrapped returns the record of the same installation as another key-encryption key would seal it.
func Rewrapped(in keys.Installation, kekID string) keys.Installation {
	in.KEKID = kekID
	in.Pepper = "eyJ.pepper." + kekID
	in.RecordKey = "eyJ.record." + kekID
	in.MAC = []byte("a code of " + kekID)
	return in
}

// wantInstallation checks that both handles read the record, and that the log has just these entries.
func wantInstallation(t *testing.T, f GenesisFixture, what string, want keys.Installation, entries ...audit.Entry) {
	t.Helper()
	for _, g := range []keys.Genesis{f.Genesis, f.Peer} {
		got, err := g.Installation(t.Context())
		if err != nil {
			t.Fatalf("%s: Installation: %v", what, err)
		}
		if d := Diff(got, want); d != "" {
			t.Errorf("%s: Installation (-want +got):\n%s", what, d)
		}
	}
	wantEntries(t, f.Log, entries...)
}

func mustFound(t *testing.T, f GenesisFixture) keys.Installation {
	t.Helper()
	in, err := f.Genesis.PutInstallation(t.Context(), FullInstallation("first"), entry("first"))
	if err != nil {
		t.Fatalf("PutInstallation: %v", err)
	}
	return in
}

func genesisReplace(t *testing.T, f GenesisFixture) {
	first := FullInstallation("first")
	second, third := Rewrapped(first, "kek-2"), Rewrapped(first, "kek-3")
	if err := f.Genesis.ReplaceInstallation(t.Context(), first, second, entry("second")); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("without a record: got error %v, want ErrNotFound", err)
	}
	genesisAbsent(t, f)
	mustFound(t, f)
	if err := f.Peer.ReplaceInstallation(t.Context(), first, second, entry("second")); err != nil {
		t.Fatalf("ReplaceInstallation: %v", err)
	}
	wantInstallation(t, f, "replaced", second, entry("first"), entry("second"))

	// Who was told of a fault makes the same call again: it is done, and recorded once.
	if err := f.Genesis.ReplaceInstallation(t.Context(), first, second, entry("again")); err != nil {
		t.Errorf("a repeat: %v", err)
	}
	wantInstallation(t, f, "a repeat", second, entry("first"), entry("second"))

	// A second writer, who read what was there before, loses.
	for name, from := range map[string]keys.Installation{"what was there": first, "what never was": Rewrapped(first, "kek-9")} {
		if err := f.Genesis.ReplaceInstallation(t.Context(), from, third, entry("third")); !errors.Is(err, keys.ErrConflict) {
			t.Errorf("from %s: got error %v, want ErrConflict", name, err)
		}
		wantInstallation(t, f, "a conflict, from "+name, second, entry("first"), entry("second"))
	}
	if err := f.Genesis.ReplaceInstallation(t.Context(), second, third, entry("third")); err != nil {
		t.Errorf("from what is there: %v", err)
	}
	wantInstallation(t, f, "replaced again", third, entry("first"), entry("second"), entry("third"))
	got, err := f.Peer.PutInstallation(t.Context(), FullInstallation("other"), entry("other"))
	if err != nil || Diff(got, third) != "" {
		t.Errorf("PutInstallation: got %+v, %v", got, err)
	}
	wantEntries(t, f.Log, entry("first"), entry("second"), entry("third"))
}

// genesisReplaceOctets: what is replaced is exactly what was read, each member of it and no other form of it.
func genesisReplaceOctets(t *testing.T, f GenesisFixture) {
	first := mustFound(t, f)
	to := Rewrapped(first, "kek-2")
	stored := f.Raw.Get(t, store.KindInstallation, "")
	encoded, err := store.EncodeInstallation(first)
	if err != nil || string(stored) != string(encoded) {
		t.Fatalf("stored is %s, want %s, %v", stored, encoded, err)
	}
	for name, spoil := range map[string]func(in *keys.Installation){
		"key-encryption key": func(in *keys.Installation) { in.KEKID += "x" },
		"pepper":             func(in *keys.Installation) { in.Pepper += "x" },
		"record key":         func(in *keys.Installation) { in.RecordKey += "x" },
		"code":               func(in *keys.Installation) { in.MAC = append([]byte("x"), in.MAC...) },
	} {
		from := first
		spoil(&from)
		if err := f.Genesis.ReplaceInstallation(t.Context(), from, to, entry("x")); !errors.Is(err, keys.ErrConflict) {
			t.Errorf("another %s: got error %v, want ErrConflict", name, err)
		}
	}
	for _, raw := range []string{string(stored) + " ", strings.Replace(string(stored), `"dev":`, ` "dev":`, 1), strings.Replace(string(stored), "kek-1", `\u006bek-1`, 1)} {
		if raw == string(stored) {
			t.Fatal("that is no other form")
		}
		f.Raw.Put(t, store.KindInstallation, "", []byte(raw))
		if err := f.Genesis.ReplaceInstallation(t.Context(), first, to, entry("x")); !errors.Is(err, keys.ErrConflict) {
			t.Errorf("%s: got error %v, want ErrConflict", raw, err)
		}
		if got := f.Raw.Get(t, store.KindInstallation, ""); string(got) != raw {
			t.Errorf("%s: was overwritten with %s", raw, got)
		}
	}
	wantEntries(t, f.Log, entry("first"))
	f.Raw.Put(t, store.KindInstallation, "", stored)
	first.CreatedAt = first.CreatedAt.In(time.FixedZone("", 3600)) // the same instant
	if err := f.Genesis.ReplaceInstallation(t.Context(), first, to, entry("second")); err != nil {
		t.Errorf("in another time zone: %v", err)
	}
	wantInstallation(t, f, "in another time zone", to, entry("first"), entry("second"))
}

// genesisReplaceAnother: no call makes a store another issuer's, or takes the mark of --dev from it, whoever asks;
// and nothing is replaced unrecorded. Neither is a conflict, which would have the caller try again.
func genesisReplaceAnother(t *testing.T, f GenesisFixture) {
	refused := func(what string, from, to keys.Installation, e audit.Entry) {
		t.Helper()
		if err := f.Genesis.ReplaceInstallation(t.Context(), from, to, e); err == nil || isAnswer(err) {
			t.Errorf("%s: got error %v, want a plain one", what, err)
		}
	}
	all := func() {
		t.Helper()
		first := FullInstallation("first")
		for name, spoil := range map[string]func(in *keys.Installation){
			"format":     func(in *keys.Installation) { in.Format++ },
			"identifier": func(in *keys.Installation) { in.ID = "other" },
			"issuer":     func(in *keys.Installation) { in.Issuer = "https://other.example" },
			"dev":        func(in *keys.Installation) { in.Dev = false },
			"time":       func(in *keys.Installation) { in.CreatedAt = in.CreatedAt.Add(time.Second) },
		} {
			to := Rewrapped(first, "kek-2")
			spoil(&to)
			refused(name, first, to, entry("x"))
			refused(name+", the other way", to, first, entry("x"))
		}
		newer, newerToo := first, Rewrapped(first, "kek-2")
		newer.Format, newerToo.Format = keys.InstallationFormat+1, keys.InstallationFormat+1
		refused("a newer format", newer, newerToo, entry("x"))
		refused("no entry", first, Rewrapped(first, "kek-2"), audit.Entry{})
		refused("not UTF-8", first, Rewrapped(first, "\xff"), entry("x"))
	}
	all()
	genesisAbsent(t, f)
	mustFound(t, f)
	all()
	wantInstallation(t, f, "after what was refused", FullInstallation("first"), entry("first"))
}

// raceGenesis is as race, for what needs no record key.
func raceGenesis(f GenesisFixture, fn func(i int, g keys.Genesis) error) []error {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, racers)
	for i := range racers {
		g := f.Genesis
		if i%2 == 1 {
			g = f.Peer
		}
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = fn(i, g)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

func genesisRaceToReplace(t *testing.T, f GenesisFixture) {
	first := mustFound(t, f)
	errs := raceGenesis(f, func(i int, g keys.Genesis) error {
		return g.ReplaceInstallation(t.Context(), first, Rewrapped(first, fmt.Sprint(i)), entry(fmt.Sprint(i)))
	})
	winner := fmt.Sprint(oneWinner(t, errs, keys.ErrConflict))
	wantInstallation(t, f, "after the race", Rewrapped(first, winner), entry("first"), entry(winner))
}

// genesisNoLostReplacement: each of several writers adds its mark to what it read until that has succeeded; in the
// end all marks are there, in the order of the log, and no reader saw a record of two halves.
func genesisNoLostReplacement(t *testing.T, f GenesisFixture) {
	mustFound(t, f)
	deadline := time.Now().Add(raceTimeout)
	errs := raceGenesis(f, func(i int, g keys.Genesis) error {
		for time.Now().Before(deadline) {
			was, err := g.Installation(t.Context())
			if err != nil {
				return err
			}
			if d := Diff(was, Rewrapped(was, was.KEKID)); d != "" && was.KEKID != "kek-1" {
				return fmt.Errorf("half a record:\n%s", d)
			}
			mark := fmt.Sprint(" ", i)
			err = g.ReplaceInstallation(t.Context(), was, Rewrapped(was, was.KEKID+mark), entry(mark))
			if !errors.Is(err, keys.ErrConflict) {
				return err
			}
		}
		return errors.New("it never succeeded")
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	in, err := f.Genesis.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	marks := strings.Split(in.KEKID, " ")[1:]
	want := []audit.Entry{entry("first")}
	for _, mark := range marks {
		want = append(want, entry(" "+mark))
	}
	if len(marks) != racers {
		t.Errorf("%d of %d replacements are there: %q", len(marks), racers, in.KEKID)
	}
	wantEntries(t, f.Log, want...)
}
