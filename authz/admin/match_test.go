package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
)

func TestIfMatch_Parse(t *testing.T) {
	for value, want := range map[string]preconditions{
		`*`: {any: true}, ` * `: {any: true},
		`"1"`: {versions: []uint64{1}}, ` "18446744073709551615" `: {versions: []uint64{1<<64 - 1}},
		`"1", "2"`: {versions: []uint64{1, 2}}, `"2","1","2"`: {versions: []uint64{2, 1}}, `, "1",, "3" ,`: {versions: []uint64{1, 3}},
		`W/"1"`: {}, `W/"1", "2"`: {versions: []uint64{2}}, // weak tags never match (RFC 9110, Section 8.8.3.2)
		`"01"`: {}, `"+1"`: {}, `"-1"`: {}, `"1.0"`: {}, `""`: {}, `"x"`: {}, `"18446744073709551616"`: {}, `"1,2"`: {}, "\"\xff\"": {},
	} {
		if got, ok := parseIfMatch(value); !ok || got.any != want.any || !slices.Equal(got.versions, want.versions) {
			t.Errorf("%s: %+v, %v", value, got, ok)
		}
	}
	for _, bad := range []string{
		``, ` `, `,`, `, ,`, `1`, `"1`, `1"`, `"1" "2"`, `"1";"2"`, `*, "1"`, `"1", *`, `**`, `w/"1"`, `W/1`, `W/ "1"`, `W/*`, "\"\x00\"", "\"\x7f\"", "\"1\n\"", `""1""`, `'1'`, `"1 "`,
		`"` + strings.Repeat("1", 512) + `"`,
	} {
		if got, ok := parseIfMatch(bad); ok {
			t.Errorf("%q is well-formed: %+v", bad, got)
		}
	}
}

func TestIfMatch_WhatIsWrittenIsRead(t *testing.T) {
	for _, v := range []uint64{0, 1, 10, 1<<64 - 1} {
		if p, ok := parseIfMatch(etag(v)); !ok || !slices.Equal(p.versions, []uint64{v}) || p.any {
			t.Errorf("%s: %+v, %v", etag(v), p, ok)
		}
	}
}

func TestIfMatch_Several(t *testing.T) {
	stored := func(v uint64, err error) func() (uint64, error) {
		return func() (uint64, error) { return v, err }
	}
	unread := func() (uint64, error) { t.Error("the record was read for nothing"); return 0, nil }
	away := errors.New("away")
	for _, c := range []struct {
		value   string
		current func() (uint64, error)
		want    authz.Match
		err     error
	}{
		{`*`, unread, authz.Match{Any: true}, nil},
		{`"7"`, unread, authz.Match{Version: 7}, nil},
		{`W/"7"`, unread, authz.Match{}, nil},
		{`"6", "7", "8"`, stored(7, nil), authz.Match{Version: 7}, nil},
		{`"6", "8"`, stored(7, nil), authz.Match{Version: 6}, nil},
		{`"6", "8"`, stored(0, authz.ErrNotFound), authz.Match{Version: 6}, nil},
		{`"6", "8"`, stored(0, away), authz.Match{}, away},
	} {
		p, _ := parseIfMatch(c.value)
		if got, err := p.match(c.current); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v", c.value, got, err)
		}
	}
}

// FuzzIfMatch: a value never matches a version whose tag is not in it, written as we write it and not
// behind W/; and `*` is alone.
func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{`*`, `"1"`, `W/"1"`, `"1", "2"`, ` "1" ,W/"2",`, `"`, `"1`, `,`, `W/`, `"01"`, "\"\xff\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p, ok := parseIfMatch(value)
		if !ok {
			if p.any || len(p.versions) > 0 {
				t.Errorf("%q is malformed and matches %+v", value, p)
			}
			return
		}
		if p.any != (strings.Trim(value, " \t") == "*") || p.any && len(p.versions) > 0 {
			t.Errorf("%q: %+v", value, p)
		}
		strong := strings.ReplaceAll(value, `W/"`, `W/`)
		again := make([]string, len(p.versions))
		for i, v := range p.versions {
			again[i] = etag(v)
			if !strings.Contains(strong, fmt.Sprint(v)) || !strings.Contains(value, etag(v)) {
				t.Errorf("%q matches %d", value, v)
			}
		}
		if len(again) > 0 {
			if q, ok := parseIfMatch(strings.Join(again, ", ")); !ok || !slices.Equal(q.versions, p.versions) {
				t.Errorf("%q printed as %q reads %+v", value, again, q)
			}
		}
	})
}
