// Package configs holds Marque's settings: what they are, where they come from, and which values
// cannot work.
//
// [Config] is the manual. [Load] fills it from the defaults, a YAML file, the environment and
// flags, each winning over the one before, and reports everything that is wrong at once, by file
// and line (or variable, or flag) and key. The package imports no other package of Marque: cmd
// translates a Config into each package's own.
package configs
