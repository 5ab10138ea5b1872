package store_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

var testKey = [32]byte([]byte("0123456789abcdef0123456789abcdef"))

func newEnvelope(t testing.TB, key [32]byte, namespace string) *store.Envelope {
	t.Helper()
	env, err := store.NewEnvelope(key, namespace)
	if err != nil {
		t.Fatalf("NewEnvelope: %v", err)
	}
	return env
}

// The bytes of each format, for ever. The codes were computed by other means, with
//
//	python3 -c 'import hmac,struct; p=lambda b: struct.pack(">Q",len(b))+b
//	h=b"\x02"+struct.pack(">Q",7); m=b"".join(map(p,[b"marque stored record",b"marque",b"client",b"acme",h,b"{}"]))
//	print(hmac.new(b"0123456789abcdef"*2,m,"sha256").hexdigest())'
func TestEnvelope_Layout(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	for format, code := range map[byte]string{
		1: "edf0d64c9dd26f94a2aaca114dba18e0c1c63620dfb3dbf783efa246ab68660f",
		2: "5c4e18bf69f3db2f993e11c21c57192a8d26e68cbe838540b8ebb205a601dfbc",
		3: "bf2e6a5b50df99b9f04c9a42203fe36d4955c3e5e1d6af98f56e2f96ebcb2a1c",
	} {
		want := fmt.Sprintf("%02x", format) + "0000000000000007" + code + "7b7d"
		sealed := env.SealAs(format, store.KindClient, "acme", 7, []byte("{}"))
		if got := hex.EncodeToString(sealed); got != want {
			t.Errorf("format %d:\ngot  %s\nwant %s", format, got, want)
		}
		if v, b, err := env.Open(store.KindClient, "acme", sealed); err != nil || v != 7 || string(b) != "{}" {
			t.Errorf("format %d: Open: got %d, %s, %v", format, v, b, err)
		}
	}
	if got := env.Seal(store.KindClient, "acme", 7, []byte("{}")); got[0] != store.Format {
		t.Errorf("got format %d, want %d", got[0], store.Format)
	}
}

// The format is part of what is authenticated: a record of one format does not pass for one of another,
// whose members it might then be read with.
func TestEnvelope_FormatBound(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	for _, c := range [][2]byte{{1, 2}, {2, 1}, {2, 3}, {3, 2}, {1, 3}} {
		sealed := env.SealAs(c[0], store.KindClient, "acme", 7, []byte("{}"))
		sealed[0] = c[1]
		if _, _, err := env.Open(store.KindClient, "acme", sealed); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("format %d as %d: got error %v, want ErrDamaged", c[0], c[1], err)
		}
	}
}

func TestEnvelope_RoundTrip(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	for _, body := range []string{"", "{}", "\x00", strings.Repeat("x", 1<<20)} {
		for _, version := range []uint64{1, 2, 1<<64 - 1} {
			sealed := env.Seal("client", "c", version, []byte(body))
			v, b, err := env.Open("client", "c", sealed)
			if err != nil || v != version || string(b) != body {
				t.Errorf("got version %d, %d octets, error %v; want %d, %d", v, len(b), err, version, len(body))
			}
		}
	}
}

// Each row changes one thing that the code must cover.
func TestEnvelope_Moved(t *testing.T) {
	body := []byte(`{"name":"Acme"}`)
	env := newEnvelope(t, testKey, "marque")
	otherKey := testKey
	otherKey[31] ^= 1
	for name, sealed := range map[string][]byte{
		"key":            newEnvelope(t, otherKey, "marque").Seal("client", "acme", 3, body),
		"namespace":      newEnvelope(t, testKey, "marque2").Seal("client", "acme", 3, body),
		"kind":           env.Seal("resource", "acme", 3, body),
		"storage key":    env.Seal("client", "acme2", 3, body),
		"case":           env.Seal("client", "Acme", 3, body),
		"shifted":        env.Seal("clienta", "cme", 3, body),
		"shifted back":   env.Seal("clien", "tacme", 3, body),
		"namespace+kind": newEnvelope(t, testKey, "marquec").Seal("lient", "acme", 3, body),
		"version 0":      env.Seal("client", "acme", 0, body),
	} {
		_, _, err := env.Open("client", "acme", sealed)
		var record *store.RecordError
		if !errors.Is(err, store.ErrDamaged) || !errors.As(err, &record) || record.Kind != "client" || record.Key != "acme" {
			t.Errorf("%s: got error %v, want ErrDamaged of client acme", name, err)
		}
	}
}

func TestEnvelope_EveryBit(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	sealed := env.Seal("client", "acme", 3, []byte(`{"name":"Acme"}`))
	for i := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << bit
			want := store.ErrDamaged
			if i == 0 && bad[0] > store.Format {
				want = store.ErrNewerFormat
			}
			if _, _, err := env.Open("client", "acme", bad); !errors.Is(err, want) {
				t.Fatalf("octet %d, bit %d: got error %v, want %v", i, bit, err, want)
			}
		}
	}
	for n := range sealed {
		if _, _, err := env.Open("client", "acme", sealed[:n]); !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("first %d octets: got error %v, want ErrDamaged", n, err)
		}
	}
}

func TestRecordError(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	_, _, err := env.Open("client", "ac\nme", []byte{0})
	if got := err.Error(); !strings.Contains(got, `client "ac\nme": damaged record`) {
		t.Errorf("the message %q does not name the record on one line", got)
	}
	if !errors.Is(err, store.ErrDamaged) || !errors.Is(err, authz.ErrDamaged) {
		t.Errorf("the domain does not see that %v is damage", err)
	}
	_, _, err = env.Open("client", "acme", []byte{store.Format + 1})
	if got := err.Error(); !strings.Contains(got, "newer version of this program") {
		t.Errorf("the message %q does not say what to do", got)
	}
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, authz.ErrDamaged) {
		t.Errorf("a record of a newer format passes for damage: %v", err)
	}
}

func TestNewEnvelope_Refuses(t *testing.T) {
	if _, err := store.NewEnvelope([32]byte{}, "marque"); err == nil {
		t.Error("a record key of zeros: got no error")
	}
	for _, bad := range []string{"", "A", "a b", "a/b", "a:b", "a.b", "é", "{a}", "a\x00", strings.Repeat("a", 65)} {
		if _, err := store.NewEnvelope(testKey, bad); err == nil {
			t.Errorf("namespace %q: got no error", bad)
		}
	}
	for _, good := range []string{"a", "marque", "a-b_c9", strings.Repeat("a", 64)} {
		if got := newEnvelope(t, testKey, good).Namespace(); got != good {
			t.Errorf("Namespace: got %q, want %q", got, good)
		}
	}
}

// However it is printed, the record key does not come out.
func TestEnvelope_Redacts(t *testing.T) {
	env := newEnvelope(t, testKey, "marque")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", env)
		fmt.Fprintf(&out, verb+"\n", struct{ E *store.Envelope }{env})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "env", env)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "env", env)
	for _, secret := range []string{string(testKey[:8]), hex.EncodeToString(testKey[:8]), strings.ToUpper(hex.EncodeToString(testKey[:8])), "48 49 50 51", "0x30, 0x31"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the record key is in the output as %q:\n%s", secret, &out)
		}
	}
	if !strings.Contains(out.String(), "store.Envelope(marque)") {
		t.Errorf("nothing useful is printed:\n%s", &out)
	}
}

// FuzzEnvelope: what opens is, octet for octet, what Seal makes; nothing else opens, and nothing
// panics.
func FuzzEnvelope(f *testing.F) {
	env := newEnvelope(f, testKey, "marque")
	f.Add([]byte(nil))
	f.Add([]byte{0})
	f.Add([]byte{store.Format})
	f.Add([]byte{store.Format + 1})
	f.Add(env.Seal("client", "acme", 1, []byte(`{"name":"Acme"}`)))
	f.Add(env.Seal("client", "acme", 1<<64-1, nil))
	f.Add(env.Seal("client", "other", 1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		version, body, err := env.Open("client", "acme", b)
		if err != nil {
			if errors.Is(err, store.ErrDamaged) == errors.Is(err, store.ErrNewerFormat) {
				t.Fatalf("error %v is not exactly one of the two", err)
			}
			return
		}
		if again := env.Seal("client", "acme", version, body); !bytes.Equal(again, b) {
			t.Fatalf("%x opens and seals to %x", b, again)
		}
	})
}
