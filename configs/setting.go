package configs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// setting is one leaf of a configuration: its path, and the field behind it.
type setting struct {
	path    string
	field   reflect.Value
	seconds bool // a plain number is a duration in seconds
}

// settings returns every setting of c, a pointer to a Config or a Gate, in the order of the struct.
func settings(c any) []setting {
	var all []setting
	leaves(reflect.ValueOf(c).Elem(), "", func(section string, f reflect.StructField, v reflect.Value) {
		if name := f.Tag.Get("yaml"); name != "-" {
			all = append(all, setting{path: section + name, field: v, seconds: f.Tag.Get("seconds") == "yes"})
		}
	})
	return all
}

// confidential is one secret of a configuration: what it is called, such as keys.kek, and the field behind it.
type confidential struct {
	path  string
	field *Secret
}

// file is the setting that names the secret's file.
func (c confidential) file() string { return c.path + "_file" }

// secrets returns every secret of c, likewise.
func secrets(c any) []confidential {
	var all []confidential
	leaves(reflect.ValueOf(c).Elem(), "", func(section string, f reflect.StructField, v reflect.Value) {
		if field, ok := v.Addr().Interface().(*Secret); ok {
			all = append(all, confidential{path: section + f.Tag.Get("secret"), field: field})
		}
	})
	return all
}

// leaves visits every field of v that is no section, with the path of the section it is in.
func leaves(v reflect.Value, section string, visit func(section string, f reflect.StructField, v reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := f.Tag.Get("yaml"); name != "-" && f.Type.Kind() == reflect.Struct {
			leaves(v.Field(i), section+name+".", visit)
			continue
		}
		visit(section, f, v.Field(i))
	}
}

// Paths returns the name of every setting that a server's file may hold, in the order of [Config].
func Paths() []string {
	var c Config
	var paths []string
	for _, s := range settings(&c) {
		paths = append(paths, s.path)
	}
	return paths
}

// Variable returns the name of the environment variable of a setting of the server.
func Variable(path string) string {
	return variable(variablePrefix, path)
}

func variable(prefix, path string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

func (s setting) list() bool { return s.field.Kind() == reflect.Slice }

// set gives the setting one value, or, if it is a list, all of them. The kinds of field are those
// that Config has; another kind is a mistake in Config, which every test of this package would meet.
func (s setting) set(values ...string) error {
	if s.list() {
		for _, v := range values {
			if v == "" {
				return errors.New("an entry of the list is empty")
			}
		}
		s.field.Set(reflect.ValueOf(slices.Clone(values)))
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("one value expected, not %d", len(values))
	}
	switch p := s.field.Addr().Interface().(type) {
	case *string:
		*p = values[0]
	case *bool:
		return setBool(p, values[0])
	case *int:
		return setInt(p, values[0])
	case *Duration:
		d, err := parseDuration(values[0], s.seconds)
		if err != nil {
			return err
		}
		*p = d
	default:
		panic("configs: setting " + s.path + " has the unknown type " + s.field.Type().String())
	}
	return nil
}

func setBool(p *bool, v string) error {
	if v != "true" && v != "false" {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	*p = v == "true"
	return nil
}

func setInt(p *int, v string) error {
	if !digits(v) || (len(v) > 1 && v[0] == '0') {
		return fmt.Errorf("%q is not a whole number", v)
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return fmt.Errorf("%q is too large", v)
	}
	*p = int(n)
	return nil
}
