package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
)

// openSource opens the store that was exported, if it is named. What is wrong with it is said before
// anything is read.
func (i *importing) openSource(ctx context.Context, target configs.Config) (database, error) {
	if i.source == "" {
		return nil, nil
	}
	c, err := i.sourceConfig()
	if err == nil && c.Store.Driver == "bolt" && target.Store.Driver == "bolt" && resolved(c.Data) == resolved(target.Data) {
		err = fmt.Errorf("%s is where the import goes: name the store that was exported", i.source)
	}
	if err != nil {
		return nil, fmt.Errorf("--source: %w", err)
	}
	db, err := i.app.openToMove(ctx, newBackend(c), true)
	if err != nil {
		return nil, fmt.Errorf("--source: %w", err)
	}
	in, err := db.Installation(ctx)
	if err == nil {
		_, err = in.Open(i.keks)
	}
	if err == nil && in.ID != i.header.Installation.ID {
		err = fmt.Errorf("%s holds the installation of %s, and the export is of another one", i.source, in.Issuer)
	}
	if errors.Is(err, keys.ErrNotFound) {
		err = fmt.Errorf("%s holds no installation", i.source)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--source: %w", err), db.Close())
	}
	return db, nil
}

// sourceConfig is how to reach it. Variables are about where the import goes, and say nothing of it.
func (i *importing) sourceConfig() (configs.Config, error) {
	info, err := os.Stat(i.source)
	if errors.Is(err, fs.ErrNotExist) {
		return configs.Config{}, fmt.Errorf("there is no %s: name the configuration file, or the data folder, of the store that was exported", i.source)
	}
	if err != nil {
		return configs.Config{}, err
	}
	if info.IsDir() {
		c := configs.Defaults(false)
		c.Data, c.Store.Namespace = i.source, i.header.Namespace
		return c, nil
	}
	c, err := configs.Load(configs.Options{File: i.source, Environ: withoutSettings(i.app.environ)})
	if err != nil {
		return configs.Config{}, i.settings.explain(err)
	}
	return c.Config, nil
}

// withoutSettings leaves out of an environment what stands for settings.
func withoutSettings(environ []string) []string {
	prefix := configs.Variable("")
	var out []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, prefix) {
			out = append(out, pair)
		}
	}
	return out
}
