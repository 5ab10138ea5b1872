package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// keyEncryptionKeys reads the keys that seal secrets: first the one that marque key rewrap moves to, then
// the others.
func (s *server) keyEncryptionKeys(ctx context.Context) ([]*jose.KEK, error) {
	c := s.config
	if !c.Dev || c.Keys.KEKFile != "" || !c.Keys.KEK.IsZero() {
		return readKEKs(c)
	}
	c.Keys.KEKFile = filepath.Join(c.Data, devKEKName)
	_, err := os.Lstat(c.Keys.KEKFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return readKEKs(c)
	}
	switch in, err := s.db.Installation(ctx); {
	case err == nil && !in.Dev:
		return nil, s.backend.place().notDev()
	case err == nil:
		p := s.backend.place()
		return nil, fmt.Errorf("%s is gone, and nothing in %s can be opened without it; %s", c.Keys.KEKFile, p.name, p.anew)
	case !errors.Is(err, keys.ErrNotFound):
		return nil, s.backend.place().unreadable(err)
	}
	kek, err := keys.WriteKEKFile(c.Keys.KEKFile)
	return []*jose.KEK{kek}, err
}

var errNoKEK = errors.New("no key-encryption key: name its file with --kek-file (keys.kek_file), or set " + configs.VariableKEK)

// readKEKs reads the key-encryption keys that the configuration names.
func readKEKs(c configs.Config) ([]*jose.KEK, error) {
	var all []*jose.KEK
	switch {
	case !c.Keys.KEK.IsZero():
		kek, err := keys.ParseKEK(c.Keys.KEK.Reveal())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", configs.VariableKEK, err)
		}
		all = append(all, kek)
	case c.Keys.KEKFile == "":
		return nil, errNoKEK
	default:
		kek, err := readKEKFile(c, c.Keys.KEKFile)
		if err != nil {
			return nil, at(c.Places, "keys.kek_file", err)
		}
		all = append(all, kek)
	}
	previous, err := readPreviousKEKs(c)
	return append(all, previous...), err
}

func readPreviousKEKs(c configs.Config) ([]*jose.KEK, error) {
	var all []*jose.KEK
	for _, file := range c.Keys.PreviousKEKFiles {
		kek, err := readKEKFile(c, file)
		if err != nil {
			return nil, at(c.Places, "keys.previous_kek_files", err)
		}
		all = append(all, kek)
	}
	return all, nil
}

func readKEKFile(c configs.Config, file string) (*jose.KEK, error) {
	if err := checkOutside(c, file); err != nil {
		return nil, err
	}
	return keys.ReadKEKFile(file)
}

// checkOutside refuses a key file in the data folder: a copy of the folder, such as a backup, would
// hold the lock and the key.
func checkOutside(c configs.Config, file string) error {
	if c.Dev || file == "" || !strings.HasPrefix(resolved(file), resolved(c.Data)+string(filepath.Separator)) {
		return nil
	}
	return fmt.Errorf("the key-encryption key %s lies in the data folder %s, so that a copy of the folder could be opened by anyone; keep it elsewhere", file, c.Data)
}

// resolved returns the absolute path of a file that need not exist, with symbolic links followed.
func resolved(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	if dir := filepath.Dir(abs); dir != abs {
		return filepath.Join(resolved(dir), filepath.Base(abs))
	}
	return abs
}
