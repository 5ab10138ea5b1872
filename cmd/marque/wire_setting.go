package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
)

// at says which setting an error is about, and the line, variable or flag that gave it: what was loaded without a
// mistake may still name a file that is not there, or a Redis that is another.
func at(p configs.Places, setting string, err error) error {
	return fmt.Errorf("%s: %w", p.Name(setting), err)
}

// settingError says that a setting does not fit what is there.
type settingError struct {
	named, problem, advice string
	err                    error
}

// wrongSetting returns a settingError. Of a setting that nothing gave it says how it is given.
func wrongSetting(p configs.Places, setting, problem, advice string, err error) *settingError {
	if !p.Given(setting) {
		advice = strings.TrimPrefix(advice+"; "+p.How(setting), "; ")
	}
	return &settingError{p.Name(setting), problem, advice, err}
}

func (e *settingError) Error() string {
	if e.advice == "" {
		return e.named + ": " + e.problem
	}
	return e.named + ": " + e.problem + "; " + e.advice
}

// Unwrap returns what kind of error it is.
func (e *settingError) Unwrap() error { return e.err }

// misfit explains why the settings do not open the installation that lies in a place: it is another issuer's, or
// sealed by another key, as where two of them were given one namespace.
func (p place) misfit(ctx context.Context, g keys.Genesis, c configs.Config, err error) error {
	in, lost := g.Installation(ctx)
	if lost != nil {
		return p.unreadable(err)
	}
	kek := "keys.kek_file"
	if !c.Keys.KEK.IsZero() {
		kek = "keys.kek"
	}
	holds := fmt.Sprintf("%s holds the installation of %s", p.name, in.Issuer)
	switch {
	case errors.Is(err, keys.ErrIssuer):
		return wrongSetting(c.Places, "issuer", fmt.Sprintf("%s, and this is another issuer, %s", holds, c.Issuer), "correct it, or "+p.elsewhere, err)
	case errors.Is(err, keys.ErrWrongKEK):
		return wrongSetting(c.Places, kek, fmt.Sprintf("%s, and this does not open it: %v", holds, err), "for another installation, "+p.elsewhere, err)
	case errors.Is(err, fs.ErrNotExist):
		return wrongSetting(c.Places, kek, fmt.Sprintf("%s, whose key-encryption key is not at %s, and no other one opens it", holds, c.Keys.KEKFile),
			"restore your copy of it, or for another installation, "+p.elsewhere, err)
	}
	return p.unreadable(err)
}
