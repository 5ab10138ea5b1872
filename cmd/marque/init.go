package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

func (a *app) initCommand() *cobra.Command {
	var settings *settingFlags
	cmd := verb("init", "Make the installation that serve then runs; once", func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		return a.init(cmd.Context(), c.Config, settings.serveCommand())
	})
	cmd.Long = "Make the installation that serve then runs: the data folder, the record that binds it to\n" +
		"its issuer, and, unless it exists, the key-encryption key. Doing it again changes nothing."
	settings = a.settings(cmd, "data", "issuer", "kek-file", "store", "insecure-http")
	return cmd
}

// serveCommand is the command that serves what this init makes: the same flags, but for the issuer,
// which the installation record holds.
func (f *settingFlags) serveCommand() string {
	words := []string{"marque", "serve"}
	if f.file != "" {
		words = append(words, "--config", shellWord(f.file))
	}
	for _, name := range []string{"store", "data", "kek-file"} {
		if flag := f.cmd.Flags().Lookup(name); flag.Changed {
			words = append(words, "--"+name, shellWord(flag.Value.String()))
		}
	}
	if f.cmd.Flags().Lookup("insecure-http").Value.String() == "true" {
		words = append(words, "--insecure-http")
	}
	return strings.Join(words, " ")
}

// init makes an installation, or finds that it exists. next is the command that serves it.
func (a *app) init(ctx context.Context, c configs.Config, next string) (err error) {
	if c.Issuer == "" {
		return usagef("the issuer is missing: --issuer URL")
	}
	if c.Keys.KEKFile == "" && c.Keys.KEK.IsZero() {
		return usagef("say where the key-encryption key is to lie, outside the data folder: --kek-file F (or set %s)", configs.VariableKEK)
	}
	if err := checkOutside(c, c.Keys.KEKFile); err != nil {
		return at(c.Places, "keys.kek_file", err)
	}
	if err := checkFolderOf(c.Keys.KEKFile); err != nil {
		return err
	}
	b := newBackend(c)
	if err := b.look(false); err != nil {
		return err
	}
	if err := makeDataFolder(c.Data, false); err != nil {
		return err
	}
	release, err := b.take()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	db, err := b.open(ctx, opening{warn: func(text string) { a.note("%s", text) }})
	if err == nil {
		err = errors.Join(a.found(ctx, db, b.place(), c, next), db.Close())
	}
	if err != nil && b.away(err) { // nobody waits here, and what may have been made is found by the next one
		return fmt.Errorf("%w; run this again when the store can be used", err)
	}
	return err
}

// found makes the installation in an open store, or finds that it exists.
func (a *app) found(ctx context.Context, db keys.Genesis, in place, c configs.Config, next string) error {
	_, err := db.Installation(ctx)
	isNew := errors.Is(err, keys.ErrNotFound)
	if err != nil && !isNew {
		return in.unreadable(err)
	}
	kek, made, err := initKEK(c, isNew)
	if err != nil {
		return in.misfit(ctx, db, c, err)
	}
	g := &founding{Genesis: db}
	by := audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: fmt.Sprint(os.Getuid())}}
	record, _, err := keys.Found(ctx, g, kek, c.Issuer, false, time.Now(), by)
	if made && !g.won && errors.Is(err, keys.ErrWrongKEK) {
		return errors.Join(anotherWon(in, c.Keys.KEKFile), os.Remove(c.Keys.KEKFile))
	}
	if err != nil {
		return in.misfit(ctx, db, c, err)
	}
	if !g.won {
		a.note("%s already is the installation of %s; nothing has changed.", in.name, record.Issuer)
		return nil
	}
	fmt.Fprintf(a.stdout, "Made the installation of %s in %s.\n", record.Issuer, in.name)
	a.sayNext(c, record.Issuer, made, next)
	return nil
}

// sayNext tells what to do with an installation that was just made.
func (a *app) sayNext(c configs.Config, issuer string, made bool, next string) {
	if made {
		fmt.Fprintf(a.stdout, "Made its key-encryption key, %s: keep a copy of it apart from the data; without it, nothing there can be opened.\n", c.Keys.KEKFile)
	}
	if !strings.HasPrefix(issuer, "https://") || c.TLS.CertFile != "" || len(c.TrustedProxies) > 0 {
		fmt.Fprintf(a.stdout, "Next: %s\n", next)
		return
	}
	fmt.Fprintf(a.stdout, "Next: %s --tls-cert F --tls-key F\n", next)
	fmt.Fprintf(a.stdout, "If a proxy ends TLS, leave those two out and name it in %s, or trusted_proxies of a configuration file.\n", configs.Variable("trusted_proxies"))
}

// founding tells whether it was the caller's own record that a store took: of several that found an
// installation at once, one does.
type founding struct {
	keys.Genesis
	won bool
}

// PutInstallation implements keys.Genesis.
func (f *founding) PutInstallation(ctx context.Context, in keys.Installation, e audit.Entry) (keys.Installation, error) {
	there, err := f.Genesis.PutInstallation(ctx, in, e)
	f.won = err == nil && there.ID == in.ID
	return there, err
}

// anotherWon says that an init elsewhere was faster. The key that was made here has sealed nothing, and
// goes again: kept, it would be taken for the one that matters.
func anotherWon(p place, kekFile string) error {
	return fmt.Errorf("another init was faster and made the installation in %s, sealed by a key-encryption key of its own; "+
		"the one that was made here sealed nothing and was removed. Every server of an installation needs the same key: copy that one to %s", p.name, kekFile)
}

// checkFolderOf wants the folder of a key file to exist. It is not made: whether a place beyond the
// data folder is the right one for a key is not ours to guess.
func checkFolderOf(file string) error {
	dir := filepath.Dir(file)
	if _, err := os.Stat(dir); file == "" || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("the key-encryption key is to be made as %s, but its folder does not exist; run: mkdir -m 700 -p %s", file, shellWord(dir))
}

// initKEK returns the key-encryption key, and whether it made the file. It makes one only for an
// installation that does not exist yet: a new key opens no old one.
func initKEK(c configs.Config, isNew bool) (kek *jose.KEK, made bool, err error) {
	if c.Keys.KEKFile != "" && isNew {
		kek, err := keys.WriteKEKFile(c.Keys.KEKFile)
		if _, there := os.Lstat(c.Keys.KEKFile); err == nil || errors.Is(there, fs.ErrNotExist) {
			return kek, true, err
		}
	}
	c.Keys.PreviousKEKFiles = nil
	all, err := readKEKs(c)
	for end := time.Now().Add(lockPatience); isNew && errors.Is(err, keys.ErrKEK) && time.Now().Before(end); {
		time.Sleep(lockPause) // another init that shares the file may be writing it
		all, err = readKEKs(c)
	}
	if err != nil {
		return nil, false, err
	}
	return all[0], false, nil
}
