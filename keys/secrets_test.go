package keys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestROT10_SecretsRedactThemselves(t *testing.T) {
	var s Secrets
	for i := range s.Pepper {
		s.Pepper[i], s.RecordKey[i] = 0xAB, 0xCD
	}
	type holder struct {
		Name    string
		Secrets Secrets
		Pointer *Secrets
		Secret  Secret
	}
	h := holder{"x", s, &s, s.Pepper}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U"} {
		for _, v := range []any{s, &s, s.Pepper, &s.Pepper, h, []Secret{s.RecordKey}, map[string]Secrets{"k": s}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, v := range []any{s, &s, s.Pepper, h} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(b)
	}
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey { // its digits could look like octets
			return slog.Attr{}
		}
		return a
	}}
	slog.New(slog.NewTextHandler(&out, timeless)).Info("x", "a", s, "b", s.Pepper, "c", &s, "d", h)
	slog.New(slog.NewJSONHandler(&out, timeless)).Info("x", "a", s, "b", s.Pepper, "c", &s, "d", h)

	text := strings.ToLower(out.String())
	for _, leak := range []string{
		hex.EncodeToString(s.Pepper[:4]), hex.EncodeToString(s.RecordKey[:4]), // %x
		"171", "205", "0xab", "0xcd", "253", "315", "10101011", "q6urq6", "zc3nzc", "u+00ab",
	} {
		if strings.Contains(text, leak) {
			t.Errorf("%q gets out", leak)
		}
	}
	if !strings.Contains(text, redacted) {
		t.Error("nothing was printed")
	}
	var array [32]byte = s.Pepper // as the packages that use it take it
	if array[0] != 0xAB {
		t.Error("not usable as an array")
	}
}
