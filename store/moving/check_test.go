package moving_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// Octets of each line, altered by a bit: the line is named. Those of a code are all tried: base64 could have
// several texts for one.
func TestCheck_EveryBit(t *testing.T) {
	t.Parallel()
	k := kek(1)
	file := export(t, full(t, k, 2).source(k))
	start := 0
	for n, line := range lines(file) {
		for i := range line {
			if code := len(line) - i; i%29 != n && (code > 50 || n != 1) {
				continue
			}
			altered := bytes.Clone(file)
			altered[start+i] ^= 1 << (i % 8)
			_, err := check(t, altered, k)
			var wrong *moving.LineError
			if !errors.As(err, &wrong) {
				t.Fatalf("octet %d of line %d: %v", i, n+1, err)
			}
			if last := i == len(line)-1; wrong.Line != n+1 && !last {
				t.Fatalf("octet %d of line %d: %v", i, n+1, err)
			}
		}
		start += len(line)
	}
}

func TestCheck_Lines(t *testing.T) {
	t.Parallel()
	k := kek(1)
	from := full(t, k, 3)
	file, other := export(t, from.source(k)), export(t, from.source(k))
	all, others := lines(file), lines(other)
	all, others = all[:len(all)-1], others[:len(others)-1]
	n := len(all)
	replaced := func(i int, line []byte) [][]byte {
		c := slices.Clone(all)
		c[i] = line
		return c
	}
	newer := bytes.Replace(all[0], []byte(`"format":1`), []byte(`"format":2`), 1)
	long := append(bytes.Repeat([]byte("x"), 17<<20), '\n')
	for name, c := range map[string]struct {
		file [][]byte
		line int
		want error
		says string
	}{
		"removed":              {slices.Delete(slices.Clone(all), 4, 5), 5, moving.ErrAltered, "altered, or is not the line"},
		"swapped":              {slices.Concat(all[:3], [][]byte{all[4], all[3]}, all[5:]), 4, moving.ErrAltered, "not the line"},
		"doubled":              {slices.Insert(slices.Clone(all), 3, all[3]), 5, moving.ErrAltered, "not the line"},
		"appended":             {append(slices.Clone(all), all[n-1]), n + 1, moving.ErrAltered, "ended before it"},
		"empty line behind":    {append(slices.Clone(all), []byte("\n")), n + 1, moving.ErrAltered, "ended before it"},
		"two exports":          {slices.Concat(all, others), n + 1, moving.ErrAltered, "ended before it"},
		"cut between lines":    {all[:n-1], n, moving.ErrIncomplete, "to its end"},
		"header alone":         {all[:1], 2, moving.ErrIncomplete, "to its end"},
		"cut in a line":        {replaced(n-1, all[n-1][:len(all[n-1])-1]), n, moving.ErrIncomplete, "cut off"},
		"no header":            {all[1:], 1, moving.ErrAltered, "not how an export"},
		"another's header":     {replaced(0, others[0]), 2, moving.ErrAltered, "not the line"},
		"another's line":       {replaced(5, others[5]), 6, moving.ErrAltered, "not the line"},
		"newer":                {replaced(0, newer), 1, moving.ErrNewer, "newer version"},
		"too long":             {replaced(5, long), 6, moving.ErrAltered, "longer than"},
		"carriage return":      {replaced(5, append(bytes.TrimSuffix(bytes.Clone(all[5]), []byte("\n")), "\r\n"...)), 6, moving.ErrAltered, "altered"},
		"not an export at all": {[][]byte{[]byte("hello\n")}, 1, moving.ErrAltered, "not how an export"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := check(t, slices.Concat(c.file...), k)
			var wrong *moving.LineError
			if !errors.As(err, &wrong) || !errors.Is(err, c.want) || wrong.Line != c.line || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want line %d, %v, %q", err, c.line, c.want, c.says)
			}
		})
	}
	if _, err := check(t, nil, k); !errors.Is(err, moving.ErrIncomplete) {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := check(t, file, kek(2)); !errors.Is(err, keys.ErrWrongKEK) || !strings.Contains(err.Error(), k.ID()) {
		t.Errorf("another key: %v", err)
	}
	if _, err := check(t, file, kek(2), k); err != nil {
		t.Errorf("an earlier key among those given: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := moving.Check(ctx, bytes.NewReader(file), []*jose.KEK{k}, "fake", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What only somebody with the key-encryption key can write, and still is not imported.
func TestCheck_Content(t *testing.T) {
	t.Parallel()
	k := kek(1)
	for name, c := range map[string]struct {
		make func(t *testing.T, s installed)
		line int
		says string
	}{
		"a client twice": {func(t *testing.T, s installed) { s.client(t, "client-0001") }, 8, `the client "client-0001" is there twice`},
		"a revocation twice": {func(t *testing.T, s installed) {
			s.revocation(t, token.Subject{Kind: token.RevokedJTI, Value: "j1"}, 10, at, at)
		}, 4, `"jti:j1" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := full(t, k, 2)
			c.make(t, s)
			_, err := check(t, export(t, s.source(k)), k)
			var wrong *moving.LineError
			if !errors.As(err, &wrong) || wrong.Line != c.line || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want line %d, %q", err, c.line, c.says)
			}
		})
	}
}

// What is sealed anew by somebody with the key: each line authentic, and refused for what it says.
func TestCheck_Forged(t *testing.T) {
	t.Parallel()
	k := kek(1)
	file := export(t, full(t, k, 2).source(k))
	all := lines(file)
	all = all[:len(all)-1]
	for name, c := range map[string]struct {
		from, to string
		line     int
	}{
		"key and body disagree":  {`"kind":"ring","key":"ES256"`, `"kind":"ring","key":"RS256"`, 5},
		"another kind":           {`"kind":"resource","key"`, `"kind":"client","key"`, 4},
		"order":                  {`"kind":"client","key"`, `"kind":"resource","key"`, 6},
		"no such kind":           {`"kind":"client","key"`, `"kind":"clients","key"`, 6},
		"record of later format": {`"version":3,"format":3`, `"version":3,"format":4`, 6},
		"no version":             {`"version":3,"format":3`, `"version":0,"format":3`, 6},
		"no format":              {`"version":3,"format":3`, `"version":3,"format":0`, 6},
		"unknown member of body": {`"body":{"name"`, `"body":{"nome":1,"name"`, 6},
		"unknown member of line": {`"version":3,"format":3`, `"version":3,"format":3,"x":1`, 6},
		"null body":              {`"body":{"client_id":"client-0000"}`, `"body":null`, 8},
		"no key":                 {`"key":"client-0000"`, `"key":""`, 6},
		"no subject":             {`"key":"jti:j1"`, `"key":"jto:j1"`, 3},
		"audit number":           {`"kind":"audit","key":"1"`, `"kind":"audit","key":"2"`, 11},
		"audit version":          {`"kind":"audit","key":"1"`, `"kind":"audit","key":"1","version":1`, 11},
		"count":                  {`"client":2`, `"client":3`, 12},
		"uncounted":              {`"client":2,`, ``, 12},
		"not ours":               {`"kind":"end"`, `"kind":"und"`, 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forged, changed := reseal(t, all, k, func(content string) string { return strings.Replace(content, c.from, c.to, 1) })
			if !changed {
				t.Fatalf("nothing to replace in\n%s", file)
			}
			_, err := check(t, forged, k)
			var wrong *moving.LineError
			if !errors.As(err, &wrong) || wrong.Line != c.line || errors.Is(err, moving.ErrAltered) {
				t.Errorf("%v, want line %d", err, c.line)
			}
			if newer := strings.HasPrefix(name, "record of later"); errors.Is(err, store.ErrNewerFormat) != newer {
				t.Errorf("a newer format: %v", err)
			}
		})
	}
}

var update = flag.Bool("update", false, "write testdata/export.jsonl anew")

// golden is an export of format 1, under kek(1).
func golden(t testing.TB) []byte {
	t.Helper()
	const name = "testdata/export.jsonl"
	if *update {
		if err := os.WriteFile(name, export(t, full(t, kek(1), 2).source(kek(1))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// What was written is read for ever.
func TestCheck_Golden(t *testing.T) {
	t.Parallel()
	c := mustCheck(t, golden(t), kek(1))
	if c.Header.Installation.Issuer != issuer || c.End.Records[store.KindClient] != 2 || c.End.Floor != 9 {
		t.Errorf("%+v", c)
	}
}

// The index of credentials comes behind the clients: what it is checked against has been seen by then.
func TestCheck_Order(t *testing.T) {
	t.Parallel()
	k := kek(1)
	all := lines(export(t, full(t, k, 2).source(k)))
	all = all[:len(all)-1]
	all[6], all[7] = all[7], all[6]
	forged, _ := reseal(t, all, k, func(s string) string { return s })
	_, err := check(t, forged, k)
	var wrong *moving.LineError
	if !errors.As(err, &wrong) || wrong.Line != 8 || !strings.Contains(err.Error(), `"client" do not come here`) {
		t.Errorf("%v", err)
	}
}

// reseal writes lines anew, with their codes, as somebody with the key can.
func reseal(t testing.TB, all [][]byte, k *jose.KEK, change func(string) string) (file []byte, changed bool) {
	t.Helper()
	var header struct{ salt []byte }
	header.salt = saltOf(t, all[0])
	key, err := k.MACKey("export", header.salt)
	if err != nil {
		t.Fatal(err)
	}
	chain := moving.NewChain(key)
	for _, line := range all {
		at := bytes.LastIndex(line, []byte(`,"code":"`))
		content := change(string(line[:at]))
		changed = changed || content != string(line[:at])
		file = append(file, chain.Seal([]byte(content))...)
	}
	return file, changed
}

func saltOf(t testing.TB, line []byte) []byte {
	t.Helper()
	salt, err := moving.SaltOf(line)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", line, err))
	}
	return salt
}
