package configs

import "strings"

// Places says where settings were given, for messages about them after they were loaded. The zero value knows no
// place.
type Places struct {
	of    *origins
	file  string
	flags map[string]string
}

// Name names a setting with the place that gave it: "marque.yaml:12: redis.master_name". One that nothing gave has
// its path alone.
func (p Places) Name(path string) string {
	if p.of == nil {
		return path
	}
	if s, ok := p.of.sources[path]; ok {
		return s.text + ": " + path
	}
	return path
}

// Given reports whether anything gave the setting.
func (p Places) Given(path string) bool {
	if p.of == nil {
		return false
	}
	_, ok := p.of.sources[path]
	return ok
}

// How says how a setting can be given: "set it in marque.yaml, by MARQUE_ISSUER or by --issuer".
func (p Places) How(path string) string {
	prefix := variablePrefix
	if p.of != nil {
		prefix = p.of.prefix
	}
	ways := []string{"in " + p.file, "by " + variable(prefix, path)}
	if p.file == "" {
		ways[0] = "in a configuration file"
	}
	if flag := p.flags[path]; flag != "" {
		ways = append(ways, "by "+flag)
	}
	last := len(ways) - 1
	return "set it " + strings.Join(ways[:last], ", ") + " or " + ways[last]
}
