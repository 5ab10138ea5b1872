package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

func (a *app) tokenInspect() *cobra.Command {
	var p *printer
	cmd := verb("inspect", "Show what a token on stdin says, without verifying it", func(cmd *cobra.Command, _ []string) error {
		token, err := a.readToken(cmd.Context())
		if err != nil {
			return err
		}
		header, claims, err := decodeToken(token)
		if err != nil {
			return err
		}
		a.note("Decoded, not verified: anyone can write a token that says this. To verify: marque token verify.")
		return p.print(struct {
			Header json.RawMessage `json:"header"`
			Claims json.RawMessage `json:"claims"`
		}{json.RawMessage(header), json.RawMessage(claims)}, func(w io.Writer) {
			fmt.Fprintf(w, "header\n%s\n\nclaims\n%s\n", indented(header), indented(claims))
			for _, name := range []string{"iat", "exp"} {
				if t, ok := dateOf(claims, name); ok {
					fmt.Fprintf(w, "\n%s  %s", name, dated(t))
				}
			}
			fmt.Fprintln(w)
		})
	})
	p = a.printing(cmd)
	return cmd
}

var errNotCompact = errors.New("this is no token in the form header.claims.signature")

// decodeToken splits a compact JWS and decodes header and claims, which must be JSON objects without
// repeated members: shown twice with one value, such a token would mean different things to
// different readers.
func decodeToken(token string) (header, claims jsontext.Value, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, errNotCompact
	}
	var out [2]jsontext.Value
	for i, name := range []string{"header", "claims"} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			return nil, nil, errNotCompact
		}
		v := jsontext.Value(b)
		if !v.IsValid() || v.Kind() != '{' {
			return nil, nil, fmt.Errorf("the %s of this token are not one JSON object without repeated members", name)
		}
		out[i] = v
	}
	return out[0], out[1], nil
}

func indented(v jsontext.Value) string {
	v = v.Clone()
	if err := v.Indent(jsontext.WithIndent("  "), jsontext.EscapeForJS(true)); err != nil {
		return ""
	}
	return cleanLines(string(v))
}

// cleanLines is clean for text of several lines.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func dateOf(claims jsontext.Value, name string) (time.Time, bool) {
	var all map[string]json.RawMessage
	var n json.Number
	if json.Unmarshal(claims, &all) != nil || json.Unmarshal(all[name], &n) != nil {
		return time.Time{}, false
	}
	sec, err := n.Int64()
	return time.Unix(sec, 0), err == nil
}

// dated writes a time, and how far it is from now.
func dated(t time.Time) string { return instant(&t) + " (" + distance(t, time.Now()) + ")" }

// distance says how far a time is from now.
func distance(t, now time.Time) string {
	switch d := t.Sub(now).Round(time.Second); {
	case d < 0:
		return shortDuration(-d) + " ago"
	case d == 0:
		return "now"
	default:
		return "in " + shortDuration(d)
	}
}
