package keys

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

const issuer = "https://auth.example"

type fakeGenesis struct {
	mu      sync.Mutex
	in      *Installation
	entries []audit.Entry
	err     error
}

func (g *fakeGenesis) Installation(context.Context) (Installation, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return Installation{}, g.err
	case g.in == nil:
		return Installation{}, ErrNotFound
	}
	return *g.in, nil
}

func (g *fakeGenesis) PutInstallation(_ context.Context, in Installation, e audit.Entry) (Installation, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in == nil {
		g.in = &in
		g.entries = append(g.entries, e)
	}
	return *g.in, nil
}

func (g *fakeGenesis) ReplaceInstallation(_ context.Context, from, to Installation, e audit.Entry) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return g.err
	case from.Format != to.Format || from.ID != to.ID || from.Issuer != to.Issuer || from.Dev != to.Dev || !from.CreatedAt.Equal(to.CreatedAt):
		return errors.New("another installation")
	case g.in == nil:
		return ErrNotFound
	case reflect.DeepEqual(*g.in, to):
		return nil
	case !reflect.DeepEqual(*g.in, from):
		return ErrConflict
	}
	g.in = &to
	g.entries = append(g.entries, e)
	return nil
}

func found(t *testing.T, g Genesis) (Installation, Secrets) {
	t.Helper()
	in, s, err := Found(bg, g, testKEK(1), issuer, false, start, admin)
	if err != nil {
		t.Fatal(err)
	}
	return in, s
}

func TestEVT12_FoundMakesOnceAndReadsAfterwards(t *testing.T) {
	g := &fakeGenesis{}
	in, s := found(t, g)
	if in.Issuer != issuer || in.Format != InstallationFormat || in.Dev || in.KEKID != testKEK(1).ID() ||
		len(in.ID) < 26 || !in.CreatedAt.Equal(start) {
		t.Errorf("installation %+v", in)
	}
	if s.Pepper == (Secret{}) || s.RecordKey == (Secret{}) || s.Pepper == s.RecordKey {
		t.Error("secrets are not random")
	}
	again, s2 := found(t, g)
	if again.ID != in.ID || s2 != s {
		t.Error("a second start finds another installation")
	}
	if len(g.entries) != 1 || g.entries[0].Action != ActionInstall || g.entries[0].Target != issuer {
		t.Errorf("audit entries %+v", g.entries)
	}
	want := `{"dev":false,"format":1,"issuer":"https://auth.example","kek_id":"` + testKEK(1).ID() + `"}`
	if e := g.entries[0]; e.Origin != admin || e.Before != nil || string(e.After) != want {
		t.Errorf("before %s after %s, want nothing and %s", e.Before, e.After, want)
	}
	other, s3 := found(t, &fakeGenesis{})
	if other.ID == in.ID || s3.Pepper == s.Pepper || s3.RecordKey == s.RecordKey {
		t.Error("two installations share an identifier or a secret")
	}
}

func TestFoundRaceHasOneWinner(t *testing.T) {
	g := &fakeGenesis{}
	var mu sync.Mutex
	ids, secrets := map[string]bool{}, map[Secrets]bool{}
	race(make([]*Ring, nodes), func(int, *Ring) {
		in, s, err := Found(bg, g, testKEK(1), issuer, false, start, admin)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids[in.ID], secrets[s] = true, true
	})
	if len(ids) != 1 || len(secrets) != 1 {
		t.Errorf("%d installations, %d sets of secrets, want one", len(ids), len(secrets))
	}
}

// lateGenesis has no record when asked, and another one's when written: the loser of a race.
type lateGenesis struct {
	fakeGenesis
	winner Installation
}

func (g *lateGenesis) PutInstallation(context.Context, Installation, audit.Entry) (Installation, error) {
	return g.winner, nil
}

func TestFoundLoserChecksTheWinnersRecord(t *testing.T) {
	winner, secrets := found(t, &fakeGenesis{})
	in, s, err := Found(bg, &lateGenesis{winner: winner}, testKEK(1), issuer, false, start, admin)
	if err != nil || in.ID != winner.ID || s != secrets {
		t.Errorf("the loser got %q, error %v", in.ID, err)
	}
	if _, _, err := Found(bg, &lateGenesis{winner: winner}, testKEK(1), "https://other.example", false, start, admin); !errors.Is(err, ErrIssuer) {
		t.Errorf("the loser of another issuer: error %v, want ErrIssuer", err)
	}
}

func TestFoundRefuses(t *testing.T) {
	fault := errors.New("disk on fire")
	made := &fakeGenesis{}
	found(t, made)
	devMade := &fakeGenesis{}
	if _, _, err := Found(bg, devMade, testKEK(1), issuer, true, start, admin); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		g      *fakeGenesis
		kek    *jose.KEK
		issuer string
		dev    bool
		want   error
		says   []string
	}{
		"another issuer":          {made, testKEK(1), "https://auth.example/", false, ErrIssuer, []string{`"https://auth.example"`, `"https://auth.example/"`}},
		"made by dev":             {devMade, testKEK(1), issuer, false, ErrDevelopment, []string{"--dev", "marque init"}},
		"another key":             {made, testKEK(2), issuer, false, ErrWrongKEK, []string{testKEK(1).ID()}},
		"store fault, no genesis": {&fakeGenesis{err: fault}, testKEK(1), issuer, false, fault, nil},
	} {
		in, s, err := Found(bg, c.g, c.kek, c.issuer, c.dev, start, admin)
		if !errors.Is(err, c.want) || s != (Secrets{}) || in.ID != "" {
			t.Errorf("%s: error %v, want %v and nothing else", name, err, c.want)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
	}
	if _, _, err := Found(bg, devMade, testKEK(1), issuer, true, start, admin); err != nil {
		t.Errorf("--dev opens its own: %v", err)
	}
	for name, f := range map[string]func() error{
		"no key":    func() error { _, _, err := Found(bg, &fakeGenesis{}, nil, issuer, false, start, admin); return err },
		"no issuer": func() error { _, _, err := Found(bg, &fakeGenesis{}, testKEK(1), "", false, start, admin); return err },
	} {
		if f() == nil {
			t.Errorf("%s: an installation was made", name)
		}
	}
}

func TestInstallationTampered(t *testing.T) {
	good, want := found(t, &fakeGenesis{})
	other, _ := found(t, &fakeGenesis{})
	for name, c := range map[string]struct {
		change func(*Installation)
		want   error
	}{
		"newer format":               {func(in *Installation) { in.Format++ }, ErrNewerFormat},
		"no format":                  {func(in *Installation) { in.Format = 0 }, ErrDamaged},
		"issuer":                     {func(in *Installation) { in.Issuer = "https://evil.example" }, ErrDamaged},
		"dev set":                    {func(in *Installation) { in.Dev = true }, ErrDamaged},
		"created":                    {func(in *Installation) { in.CreatedAt = in.CreatedAt.Add(time.Second) }, ErrDamaged},
		"id":                         {func(in *Installation) { in.ID = other.ID }, ErrDamaged},
		"boundary between fields":    {func(in *Installation) { in.ID, in.Issuer = in.ID+in.Issuer[:1], in.Issuer[1:] }, ErrDamaged},
		"pepper of another":          {func(in *Installation) { in.Pepper = other.Pepper }, ErrDamaged},
		"record key of another":      {func(in *Installation) { in.RecordKey = other.RecordKey }, ErrDamaged},
		"secrets exchanged":          {func(in *Installation) { in.Pepper, in.RecordKey = in.RecordKey, in.Pepper }, ErrDamaged},
		"record key twice":           {func(in *Installation) { in.Pepper = in.RecordKey }, ErrDamaged},
		"MAC cut":                    {func(in *Installation) { in.MAC = in.MAC[:16] }, ErrDamaged},
		"MAC empty":                  {func(in *Installation) { in.MAC = nil }, ErrDamaged},
		"MAC of another":             {func(in *Installation) { in.MAC = other.MAC }, ErrDamaged},
		"key-encryption key renamed": {func(in *Installation) { in.KEKID = testKEK(2).ID() }, ErrDamaged},
		"key-encryption key unknown": {func(in *Installation) { in.KEKID = "x" }, ErrWrongKEK},
	} {
		in := good
		c.change(&in)
		if s, err := in.Open([]*jose.KEK{testKEK(1), testKEK(2)}); !errors.Is(err, c.want) || s != (Secrets{}) {
			t.Errorf("%s: error %v, want %v and no secrets", name, err, c.want)
		}
	}
	if s, err := good.Open([]*jose.KEK{nil, testKEK(3), testKEK(1)}); err != nil || s != want {
		t.Errorf("untouched, under a previous key: %v", err)
	}
}

func TestInstallationMACKeepsFieldsApart(t *testing.T) {
	a, errA := Installation{ID: "a", Issuer: "bc"}.mac(Secret{1})
	b, errB := Installation{ID: "ab", Issuer: "c"}.mac(Secret{1})
	if errA != nil || errB != nil || string(a) == string(b) {
		t.Errorf("the end of one field passes for the beginning of the next (%v, %v)", errA, errB)
	}
}
