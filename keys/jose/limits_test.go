package jose

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocated returns the octets that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestJWT50_TokenSize(t *testing.T) {
	s := newSigner(t, ES256)
	opts := accepting(s.PublicKey())
	fixed := len(forge(t, s, header(s, ""), ""))
	filler := func(size int) string { return strings.Repeat("x", (size-fixed)*6/8) }
	t.Run("at the limit", func(t *testing.T) {
		token := forge(t, s, header(s, ""), filler(MaxTokenSize))
		for len(token) < MaxTokenSize {
			token = forge(t, s, header(s, ""), filler(MaxTokenSize)+"x")
		}
		if len(token) != MaxTokenSize {
			t.Skipf("no payload makes exactly %d octets", MaxTokenSize)
		}
		accepted(t, token, opts)
	})
	t.Run("over the limit", func(t *testing.T) {
		token := forge(t, s, header(s, ""), filler(MaxTokenSize)+"xxxx")
		if len(token) <= MaxTokenSize {
			t.Fatalf("vector has %d octets", len(token))
		}
		refused(t, token, opts, ErrMalformed)
	})
	t.Run("nothing larger is signed", func(t *testing.T) {
		if token, err := s.Sign("at+jwt", []byte(filler(MaxTokenSize)+"xxxx")); err == nil {
			t.Errorf("signed %d octets", len(token))
		}
		if _, err := s.Sign("at+jwt", nil); err == nil {
			t.Error("signed an empty payload, which Verify refuses")
		}
	})
}

// Each of these is refused in an instant and in no memory to speak of.
func TestJWT50_AllocationBound(t *testing.T) {
	s := newSigner(t, ES256)
	opts := accepting(s.PublicKey())
	const million = 1_000_000
	for name, token := range map[string]string{
		"a million dots":        strings.Repeat(".", million),
		"a million parts":       strings.Repeat("e30.", million),
		"a million As":          strings.Repeat("A", million),
		"a million line feeds":  strings.Repeat("\n", million),
		"dots within the limit": strings.Repeat(".", MaxTokenSize),
		"64 MiB":                strings.Repeat("A", 64<<20),
		"As within the limit":   strings.Repeat("A", MaxTokenSize),
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if got := allocated(func() { _, _, err = Verify(token, opts) }); got > 64<<10 {
				t.Errorf("allocated %d octets, want under 64 KiB", got)
			}
			wantErr(t, err, ErrMalformed, "")
		})
	}
	t.Run("depth bomb in the header", func(t *testing.T) {
		for _, open := range []string{"[", `{"a":`} {
			token := b64(`{"x":`+strings.Repeat(open, 900/len(open))) + ".e30." + strings.Repeat("A", 86)
			if got := allocated(func() { refused(t, token, opts, ErrHeader) }); got > 64<<10 {
				t.Errorf("allocated %d octets, want under 64 KiB", got)
			}
		}
	})
	t.Run("the largest token that gets as far as the signature", func(t *testing.T) {
		token := forge(t, s, header(s, ""), strings.Repeat("x", MaxTokenSize/2))
		token = token[:len(token)-2] + "AA"
		if got := allocated(func() { refused(t, token, opts, ErrSignature) }); got > 128<<10 {
			t.Errorf("allocated %d octets, want under 128 KiB", got)
		}
	})
}

func TestJWT50_Depth(t *testing.T) {
	nest := func(open, inner, shut string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
	}
	for _, r := range []struct {
		name, text string
		ok         bool
	}{
		{"arrays at the limit", nest("[", "", "]", MaxDepth), true},
		{"arrays over the limit", nest("[", "", "]", MaxDepth+1), false},
		{"objects at the limit", nest(`{"a":`, "1", "}", MaxDepth), true},
		{"objects over the limit", nest(`{"a":`, "1", "}", MaxDepth+1), false},
		{"both over the limit", nest(`[{"a":`, "1", "}]", MaxDepth/2+1), false},
		{"5000 deep", nest("[", "", "]", 5000), false},
		{"wide, not deep", "[" + strings.Repeat("[],", 1000) + "[]]", true},
		{"brackets in a string", `["` + strings.Repeat("[{", 100) + `"]`, true},
		{"brackets after an escaped quote", `["\"` + strings.Repeat("[", 100) + `"]`, true},
		{"brackets after an escaped backslash", `["\\",` + nest("[", "", "]", MaxDepth-1) + `]`, true},
		{"deep after an escaped backslash", `["\\",` + nest("[", "", "]", MaxDepth) + `]`, false},
		{"closing brackets first", strings.Repeat("]", 50) + nest("[", "", "]", 60), false},
		{"deep in a member that is ignored", `{"unknown":` + nest("[", "", "]", MaxDepth) + `}`, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			var v any
			err := StrictUnmarshal([]byte(r.text), &v, false)
			if r.ok && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !r.ok {
				wantErr(t, err, ErrMalformed, r.text)
			}
		})
	}
	t.Run("a set of a million brackets", func(t *testing.T) {
		doc := []byte(`{"keys":` + strings.Repeat("[", MaxSetSize-16))
		got := allocated(func() {
			if _, err := ParseSet(doc); err == nil {
				t.Error("accepted")
			}
		})
		if got > 64<<10 {
			t.Errorf("allocated %d octets, want under 64 KiB", got)
		}
	})
}

// The payload's JSON is the caller's to read, and this is what it is read with.
func TestJWT42_StrictJSON(t *testing.T) {
	type claims struct {
		Exp int64          `json:"exp"`
		Sub string         `json:"sub"`
		Act map[string]any `json:"act"`
	}
	for name, text := range map[string]string{
		"twice":                        `{"exp":1,"exp":9999999999}`,
		"twice, same value":            `{"exp":1,"exp":1}`,
		"twice by escape":              `{"exp":1,"\u0065xp":9999999999}`,
		"twice in an unknown member":   `{"exp":1,"x":{"a":1,"a":2}}`,
		"twice, unknown":               `{"exp":1,"x":1,"x":2}`,
		"twice in a known map":         `{"act":{"sub":"a","sub":"b"}}`,
		"twice within an array":        `{"x":[[{"a":1,"a":2}]]}`,
		"invalid UTF-8":                "{\"sub\":\"\xc3\x28\"}",
		"invalid UTF-8 in ignored":     "{\"x\":\"\xc3\x28\"}",
		"overlong UTF-8":               "{\"sub\":\"\xc0\x80\"}",
		"UTF-8 surrogate":              "{\"sub\":\"\xed\xa0\x80\"}",
		"unpaired surrogate":           `{"sub":"\udc00"}`,
		"unpaired surrogate, ignored":  `{"x":"\udc00"}`,
		"byte order mark":              "\ufeff{}",
		"text after":                   `{} x`,
		"object after":                 `{}{}`,
		"comma after":                  `{},`,
		"comma before the end":         `{"exp":1,}`,
		"comment":                      `{/**/}`,
		"single quotes":                `{'exp':1}`,
		"bare name":                    `{exp:1}`,
		"leading zero":                 `{"exp":01}`,
		"plus sign":                    `{"exp":+1}`,
		"hexadecimal":                  `{"exp":0x1}`,
		"NaN":                          `{"exp":NaN}`,
		"out of range":                 `{"exp":1e400}`,
		"fraction in an integer":       `{"exp":1.5}`,
		"number as a string":           `{"exp":"1"}`,
		"string as a number":           `{"sub":1}`,
		"array":                        `[]`,
		"string":                       `"x"`,
		"number":                       `1`,
		"null":                         `null`,
		"null after whitespace":        "\n null",
		"true":                         `true`,
		"empty":                        ``,
		"whitespace":                   " \n",
		"open":                         `{"exp":1`,
		"form feed as whitespace":      "{\f}",
		"no-break space as whitespace": "{\u00a0}",
		"raw line feed in a string":    "{\"sub\":\"a\nb\"}",
		"bad escape":                   `{"sub":"\x41"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var v claims
			wantErr(t, StrictUnmarshal([]byte(text), &v, false), ErrMalformed, text)
		})
	}
	t.Run("names match exactly", func(t *testing.T) {
		for _, text := range []string{`{"EXP":9999999999}`, `{"Exp":9999999999}`, `{"eXp":9999999999}`} {
			var v claims
			if err := StrictUnmarshal([]byte(text), &v, false); err != nil || v.Exp != 0 {
				t.Errorf("%s read as exp %d, %v", text, v.Exp, err)
			}
			wantErr(t, StrictUnmarshal([]byte(text), &v, true), ErrMalformed, text)
		}
	})
	t.Run("unknown members", func(t *testing.T) {
		var v claims
		if err := StrictUnmarshal([]byte(` {"exp":1,"x":{"a":[1,null]}} `), &v, false); err != nil || v.Exp != 1 {
			t.Errorf("got exp %d, %v", v.Exp, err)
		}
		wantErr(t, StrictUnmarshal([]byte(`{"exp":1,"x":1}`), &v, true), ErrMalformed, "")
	})
}

// An error names a place and a kind, so that a log helps, and quotes nothing, so that it cannot leak.
func TestStrictUnmarshalErrorsQuoteNothing(t *testing.T) {
	for _, row := range []struct {
		text, want    string
		rejectUnknown bool
	}{
		{`{"secret-name":1,"secret-name":2}`, "jose: malformed: JSON member twice at octet 17", false},
		{`{"secret-name":s3cret}`, "jose: malformed: JSON syntax at octet 15", false},
		{`{"secret-name":1}`, "jose: malformed: JSON member unknown at octet 1", true},
		{`{"exp":"s3cret"}`, "jose: malformed: JSON of an unexpected type at octet 7", true},
		{`null`, "jose: malformed: JSON null", true},
	} {
		var v struct {
			Exp int `json:"exp"`
		}
		if got := fmt.Sprint(StrictUnmarshal([]byte(row.text), &v, row.rejectUnknown)); got != row.want {
			t.Errorf("%s\n got %q\nwant %q", row.text, got, row.want)
		}
	}
}
