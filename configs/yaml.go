package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFileSize bounds a configuration file, in bytes: the annotated sample is a few thousand.
const maxFileSize = 1 << 20

var errNoValue = errors.New("has no value; leave the line out for the default")

// yaml applies a file. The library's own strict decoder stops at its first finding; reading the
// parsed nodes finds them all, and knows the line of every value that a later rule objects to.
func (l *loader) yaml(name string, b []byte) {
	if len(b) > maxFileSize {
		l.problem(source{text: name}, "", "is larger than %d bytes", maxFileSize)
		return
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	f, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey()) // duplicates are reported below, all of them
	if err != nil {
		l.syntax(name, err)
		return
	}
	w := &walker{loader: l, name: name}
	for i, doc := range f.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			w.problem(doc.Body, "", "a second document follows; one file holds one")
		default:
			w.root(doc.Body)
		}
	}
}

// syntax reports what the parser could not read: its message and line, never the text around it,
// which might be a secret in the wrong place.
func (l *loader) syntax(name string, err error) {
	var e yaml.Error
	if !errors.As(err, &e) {
		l.problem(source{text: name}, "", "is not YAML")
		return
	}
	from := source{text: name}
	if t := e.GetToken(); t != nil && t.Position != nil {
		from = at(name, t.Position.Line)
	}
	l.problem(from, "", "is not YAML: %s", e.GetMessage())
}

func at(name string, line int) source {
	return source{text: fmt.Sprintf("%s:%d", name, line), line: line}
}

// walker applies the nodes of one file.
type walker struct {
	*loader
	name string
}

func (w *walker) source(n ast.Node) source { return at(w.name, n.GetToken().Position.Line) }

func (w *walker) problem(n ast.Node, key, format string, args ...any) {
	w.loader.problem(w.source(n), key, format, args...)
}

func (w *walker) root(n ast.Node) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		w.problem(n, "", "the file must hold settings, such as \"listen: 127.0.0.1:8080\"")
		return
	}
	w.section(m, "")
}

// section applies the members of one mapping. Keys that repeat are errors, whichever would win.
func (w *walker) section(m *ast.MappingNode, prefix string) {
	seen := map[string]int{}
	for _, member := range m.Values {
		key, ok := member.Key.(*ast.StringNode)
		if !ok {
			w.problem(member.Key, prefix, "a key must be plain text, without anchors, merges or tags")
			continue
		}
		path := prefix + key.Value
		if line, ok := seen[path]; ok {
			w.problem(key, path, "is given twice; the first time in line %d", line)
			continue
		}
		seen[path] = key.GetToken().Position.Line
		w.member(key, path, member.Value)
	}
}

func (w *walker) member(key ast.Node, path string, value ast.Node) {
	if s, leaf := w.settings[path]; leaf && !strings.Contains(key.GetToken().Value, ".") {
		values, err := scalars(value, s)
		if err != nil {
			w.unreadable(w.source(key), path, err)
			return
		}
		w.set(w.source(key), path, values...)
		return
	}
	if !w.isSection(path) {
		w.unknown(key, path)
		return
	}
	switch v := value.(type) {
	case *ast.MappingNode:
		w.section(v, path+".")
	case *ast.NullNode: // every line of the section is a comment
	default:
		w.problem(key, path, "is a section; its settings follow, indented")
	}
}

func (w *walker) isSection(path string) bool {
	for known := range w.settings {
		if strings.HasPrefix(known, path+".") {
			return true
		}
	}
	return false
}

func (w *walker) unknown(key ast.Node, path string) {
	if s, ok := w.secrets[path]; ok {
		w.problem(key, path, "a secret is not written here: name its file in %s, or set %s", s.file(), w.of.variable(path))
		return
	}
	if strings.Contains(key.GetToken().Value, ".") {
		w.problem(key, path, "is not a setting; one of a section is written under its name, indented")
		return
	}
	w.problem(key, path, "is not a setting%s", didYouMean(path, sortedKeys(w.settings)))
}

// scalars returns the text of a value, or of each entry of a list, if its YAML type is the one that
// the setting has. Nothing is converted: `yes` is no bool, 8080 is no text.
func scalars(n ast.Node, s setting) ([]string, error) {
	if !s.list() {
		v, err := scalar(n, s)
		return []string{v}, err
	}
	switch v := n.(type) {
	case *ast.NullNode:
		return nil, errNoValue
	case *ast.SequenceNode:
		values := make([]string, 0, len(v.Values))
		for _, entry := range v.Values {
			text, ok := entry.(*ast.StringNode)
			if !ok {
				return nil, errors.New("an entry of the list is not text; write it in quotes")
			}
			values = append(values, text.Value)
		}
		return values, nil
	default:
		return nil, errors.New(`a list is expected, such as ["a", "b"]`)
	}
}

func scalar(n ast.Node, s setting) (string, error) {
	if _, ok := n.(*ast.NullNode); ok {
		return "", errNoValue
	}
	switch s.field.Addr().Interface().(type) {
	case *bool:
		if v, ok := n.(*ast.BoolNode); ok {
			return v.GetToken().Value, nil
		}
		return "", errors.New("true or false is expected, without quotes")
	case *int:
		if v, ok := n.(*ast.IntegerNode); ok {
			return v.GetToken().Value, nil
		}
		return "", errors.New("a whole number is expected, without quotes")
	case *Duration:
		switch v := n.(type) {
		case *ast.StringNode:
			return v.Value, nil
		case *ast.IntegerNode:
			return v.GetToken().Value, nil
		}
		return "", errors.New(`a duration is expected, such as 15m`)
	default:
		if v, ok := n.(*ast.StringNode); ok {
			return v.Value, nil
		}
		return "", errors.New("text is expected; write it in quotes")
	}
}
