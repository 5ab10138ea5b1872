package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
)

// maxSecretInput bounds what is read as a secret, in bytes.
const maxSecretInput = 4 << 10

// brought is a secret that a client has from another server and keeps.
type brought struct {
	app   *app
	stdin bool
	file  string
}

// bringing adds --secret-stdin and --secret-file to a command.
func (a *app) bringing(cmd *cobra.Command) *brought {
	b := &brought{app: a}
	cmd.Flags().BoolVar(&b.stdin, "secret-stdin", false, "let the client keep a secret that it has from another server, which comes on stdin; none is made")
	cmd.Flags().StringVar(&b.file, "secret-file", "", "the same, from this file; the secret by which you manage another machine is --admin-secret-file")
	wanting(cmd, func() error {
		changed := cmd.Flags().Changed
		switch {
		case changed("secret-stdin") && changed("secret-file"):
			return usagef("--secret-stdin and --secret-file exclude each other")
		case changed("secret-file") && b.file == "":
			return usagef("--secret-file is empty; it names the file with the secret that the client keeps")
		}
		return nil
	})
	return b
}

// secret reads the secret, or returns nil when one is to be made. One line end after it is not part of
// it; nothing else is cut off, for what the partner sends must be the same.
func (b *brought) secret(ctx context.Context) (*configs.Secret, error) {
	var text []byte
	var err error
	switch {
	case b.stdin:
		if f, ok := b.app.stdin.(*os.File); ok && isTerminal(f) {
			b.app.note("Reading a secret from the terminal, where it can be seen; end it with Enter.")
			text, err = b.app.within(ctx, "a secret", firstLine, maxSecretInput)
		} else {
			text, err = b.app.within(ctx, "a secret", io.ReadAll, maxSecretInput)
		}
	case b.file != "":
		text, err = readFile(b.file, maxSecretInput)
	default:
		return nil, nil
	}
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxSecretInput:
		return nil, fmt.Errorf("this is no client secret: it is larger than %d bytes", maxSecretInput)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if s == "" {
		return nil, fmt.Errorf("the secret that was to be kept is empty")
	}
	secret := configs.NewSecret(s)
	return &secret, nil
}

func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", unreadable(name, err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	return text, nil
}

// revealed is a secret as a request holds it.
func revealed(s *configs.Secret) *string {
	if s == nil {
		return nil
	}
	return new(s.Reveal())
}
