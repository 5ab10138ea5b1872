package configs

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// indent stands before the settings of a section, once for each section that they are in.
const indent = "  "

// WriteYAML writes every setting with its value and where it was given, as a file that [Load] reads.
// Secrets are not written: the file form of one is the name of its file.
func (o *origins) WriteYAML(w io.Writer) error {
	var b strings.Builder
	var within []string
	for _, s := range settings(o.root) {
		sections := strings.Split(s.path, ".")
		name := sections[len(sections)-1]
		sections = sections[:len(sections)-1]
		for i, section := range sections {
			if !slices.Equal(sections[:i+1], within[:min(i+1, len(within))]) {
				b.WriteString(strings.Repeat(indent, i) + section + ":\n")
			}
		}
		within = sections
		b.WriteString(strings.Repeat(indent, len(sections)) + name + ": " + s.yaml() + " # " + o.Source(s.path))
		if note := o.empty[s.path]; note != "" && s.field.IsZero() {
			b.WriteString(": " + note)
		}
		b.WriteString("\n")
	}
	for _, s := range secrets(o.root) {
		if !s.field.IsZero() {
			b.WriteString("# " + s.path + ": " + redacted + " from " + o.variable(s.path) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON returns every setting as nested objects, with durations as text.
func (o *origins) JSON() map[string]any {
	root := map[string]any{}
	for _, s := range settings(o.root) {
		m, name := root, s.path
		for head, tail, nested := strings.Cut(name, "."); nested; head, tail, nested = strings.Cut(name, ".") {
			if m[head] == nil {
				m[head] = map[string]any{}
			}
			m, name = m[head].(map[string]any), tail
		}
		m[name] = s.value()
	}
	return root
}

// value returns the setting's value; a list that was never set is an empty one.
func (s setting) value() any {
	if s.list() && s.field.IsNil() {
		return []string{}
	}
	return s.field.Interface()
}

// plainText is what YAML reads as text without quotes, whatever stands around it.
var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/._-]*$`)

func (s setting) yaml() string {
	switch s.field.Kind() {
	case reflect.String:
		return quote(s.field.String())
	case reflect.Slice:
		var all []string
		for i := range s.field.Len() {
			all = append(all, quote(s.field.Index(i).String()))
		}
		return "[" + strings.Join(all, ", ") + "]"
	default:
		return fmt.Sprint(s.field.Interface())
	}
}

// quote writes text so that YAML reads it back: in JSON's quotes, which YAML 1.2 shares, unless it
// is plain and no other type's word.
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
	default:
		if plainText.MatchString(s) {
			return s
		}
	}
	b, _ := json.Marshal(s) // of a string, cannot fail
	return string(b)
}
