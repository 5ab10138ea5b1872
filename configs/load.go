package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Options say where [Load] looks.
type Options struct {
	File      string     // a YAML file; none if empty
	Environ   []string   // as os.Environ returns it
	Overrides []Override // from flags, the strongest
	Dev       bool       // the flag --dev

	// Flags are the flags that the command has, by setting: "insecure_http" is "--insecure-http".
	// Messages that advise a setting name its flag too. None by default.
	Flags map[string]string
}

// Override is a setting that was given by a flag.
type Override struct {
	Path   string   // such as store.driver
	Flag   string   // such as --store; for messages
	Values []string // several only for a list
}

// Loaded is a configuration with the places that its values came from.
type Loaded struct {
	Config
	origins
}

// origins knows where the values of a configuration came from.
type origins struct {
	root    any    // a pointer to the configuration
	prefix  string // of its variables
	sources map[string]source
	empty   map[string]string // what it means that a setting is left empty, where the comment is not at hand
}

func (o *origins) variable(path string) string { return variable(o.prefix, path) }

// source is where a setting was given. The zero source is the default.
type source struct {
	text string
	line int // in the file; 0 elsewhere
}

// Source says where a setting was given: "marque.yaml:12", "MARQUE_LISTEN", "--listen" or "default".
func (o *origins) Source(path string) string {
	if s, ok := o.sources[path]; ok {
		return s.text
	}
	return "default"
}

// Load returns the settings: defaults, then the file, then the environment, then flags. If anything
// is wrong with them, the error is an [*Error] that names all of it. A file that cannot be read is
// an error that wraps the one of the operating system.
func Load(o Options) (*Loaded, error) {
	l := newServerLoader(o)
	if err := l.read(o); err != nil {
		return nil, err
	}
	l.data(o.Environ)
	l.validate()
	if err := l.verdict(); err != nil {
		return nil, err
	}
	return l.loaded, nil
}

func newServerLoader(o Options) *serverLoader {
	loaded := &Loaded{Config: Defaults(o.Dev)}
	loaded.origins = origins{
		root: &loaded.Config, prefix: variablePrefix, empty: map[string]string{"issuer": "what the installation record says"},
	}
	l := newLoader(&loaded.origins, o)
	loaded.Places = l.places
	return &serverLoader{l, loaded}
}

// loader gathers values and problems. It lives for one Load.
type loader struct {
	of       *origins
	settings map[string]setting
	secrets  map[string]confidential
	invalid  map[string]bool // settings whose value could not be read: rules about them would mislead
	flags    map[string]string
	places   Places
	err      Error
}

func newLoader(of *origins, o Options) *loader {
	of.sources = map[string]source{}
	l := &loader{
		of:       of,
		settings: map[string]setting{},
		secrets:  map[string]confidential{},
		invalid:  map[string]bool{},
		flags:    o.Flags,
		places:   Places{of, o.File, o.Flags},
	}
	for _, s := range settings(of.root) {
		l.settings[s.path] = s
	}
	for _, s := range secrets(of.root) {
		l.secrets[s.path] = s
	}
	return l
}

// read applies the file, the environment and the flags.
func (l *loader) read(o Options) error {
	if o.File != "" {
		b, err := os.ReadFile(o.File)
		if err != nil {
			return fmt.Errorf("read the configuration: %w", err)
		}
		l.yaml(o.File, b)
	}
	l.environ(o.Environ)
	return l.overrides(o.Overrides)
}

// verdict returns everything that was found wrong, or nil.
func (l *loader) verdict() error {
	if len(l.err.Problems) == 0 {
		return nil
	}
	l.err.order()
	return &l.err
}

func (l *loader) problem(s source, key, format string, args ...any) {
	l.err.Problems = append(l.err.Problems, Problem{Source: s.text, Key: key, Message: fmt.Sprintf(format, args...), line: s.line})
}

// advice names a setting, by its flag too if the command has one for it.
func (l *loader) advice(path string) string {
	if flag := l.flags[path]; flag != "" {
		return flag + " (" + path + ")"
	}
	return path
}

// set gives a setting its values, or reports why it cannot.
func (l *loader) set(from source, path string, values ...string) {
	if err := l.settings[path].set(values...); err != nil {
		l.unreadable(from, path, err)
		return
	}
	l.of.sources[path] = from
	delete(l.invalid, path)
}

func (l *loader) unreadable(from source, path string, err error) {
	l.problem(from, path, "%v", err)
	l.invalid[path] = true
}

// overrides applies flags. A path that is no setting is a mistake of the program, not of its user.
func (l *loader) overrides(all []Override) error {
	for _, o := range all {
		if _, ok := l.settings[o.Path]; !ok {
			return errors.New("configs: no such setting: " + o.Path)
		}
		l.set(source{text: o.Flag}, o.Path, o.Values...)
	}
	return nil
}

// data fills in the default of the data folder.
func (l *serverLoader) data(environ []string) {
	if l.loaded.Data != "" {
		return
	}
	dir, err := DefaultData(environ)
	if err != nil {
		l.wrong("data", "%v", err)
		return
	}
	l.loaded.Data = dir
}

// DefaultData returns the data folder of a command that was given none: MARQUE_DATA, else
// $HOME/.marque. It fails if neither is set.
func DefaultData(environ []string) (string, error) {
	if dir := lookup(environ, Variable("data")); dir != "" {
		return dir, nil
	}
	home := lookup(environ, "HOME")
	if home == "" {
		return "", errors.New("HOME is not set, so the data folder must be given")
	}
	return filepath.Join(home, ".marque"), nil
}

// lookup returns the value of a variable; the last one counts, as in os.Getenv of a child process.
func lookup(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}
