package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

// maxKeyInput bounds what is read as a private key, in bytes: what the management API takes.
const maxKeyInput = 16 << 10

func (a *app) keyImport() *cobra.Command {
	var p *printer
	var conn *connection
	var algorithm, kid string
	var published time.Time
	cmd := verb("import FILE", "Take over a signing key of another server, under its kid, so that its validators go on working", func(cmd *cobra.Command, args []string) error {
		name := keyFile(args[0])
		key, err := a.readKeyFile(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		body := client.KeyImport{Key: key}
		if algorithm != "" {
			body.Algorithm = new(client.AlgorithmName(algorithm))
		}
		if kid != "" {
			body.KID = &kid
		}
		if !published.IsZero() {
			body.PublishedAt = &published
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.ImportKeyWithResponse(cmd.Context(), nil, body)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return fmt.Errorf("%s: %w", name, refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{
				taken: "a key is known once: this one, or one of this kid, is here already, if only as withdrawn or revoked; see marque key list",
			}))
		}
		a.imported(args[0], r.JSON200)
		return p.print(r.JSON200, func(w io.Writer) { keyCard(w, r.JSON200) })
	})
	cmd.Long = "Takes over a signing key of another server, so that validators who have its key set, or a copy of its public key,\n" +
		"go on working when this server takes its place: the key keeps its kid. FILE holds the one private key, without a\n" +
		"password: PEM (PKCS #8, SEC 1, PKCS #1) or a JWK, of mode 0600; - is stdin. The key is published at once and signs\n" +
		"when it is rotated to (marque key rotate). The server keeps it sealed, and gives it to nobody.\n\n" +
		"A PEM file does not say the kid: give --kid. An RSA key serves RS256 or PS256: give --algorithm, unless its JWK says alg.\n\n" +
		"--published-at says since when the other server's validators have known the key. A key must be published for a while\n" +
		"before it signs (keys.publish_lead), or whoever keeps a key set that lacks it would refuse its tokens. Time at the\n" +
		"other server counts: with --published-at, marque key rotate lets the key sign at once. Only say so if it is true."
	cmd.ValidArgsFunction = nil // files
	wanting(cmd, func() error {
		switch changed := cmd.Flags().Changed; {
		case changed("algorithm") && algorithm == "":
			return usagef("--algorithm is empty; leave it out, or name one")
		case changed("kid") && kid == "":
			return usagef("--kid is empty; leave it out, or name the one by which validators know the key")
		}
		return nil
	})
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "what it signs with: ES256, ES384, RS256, PS256 or Ed25519 (default what the key says)")
	cmd.Flags().StringVar(&kid, "kid", "", "by which validators know it (default the kid of the JWK, else the RFC 7638 thumbprint)")
	cmd.Flags().Var((*timeFlag)(&published), "published-at", "since when validators have known it from the other server (RFC 3339; default from now on)")
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

// readKeyFile reads a private key. Like a key-encryption key, it may not lie in a file that others can read:
// then it is not known any more who has it, and whoever signs with it should hear of that.
func (a *app) readKeyFile(ctx context.Context, name string) (string, error) {
	text, err := a.readKeyText(ctx, name)
	if err != nil {
		return "", err
	}
	if len(text) > maxKeyInput {
		return "", fmt.Errorf("%s: this is no private key: it is larger than %d bytes", keyFile(name), maxKeyInput)
	}
	if len(text) == 0 {
		return "", fmt.Errorf("%s: there is no key in it: it is empty", keyFile(name))
	}
	return string(text), nil
}

func (a *app) readKeyText(ctx context.Context, name string) ([]byte, error) {
	if name == "-" {
		if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
			a.note("Reading a private key from the terminal, where it can be seen; end it with Ctrl-D on a line of its own.")
		}
		return a.within(ctx, "a private key", io.ReadAll, maxKeyInput)
	}
	f, err := os.Open(name)
	var at *os.PathError
	if errors.As(err, &at) {
		return nil, fmt.Errorf("read the key: %s: %w", keyFile(name), at.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, fmt.Errorf("read the key: %s: %w", keyFile(name), err)
	case info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %04o, so others than its owner can use the key in it; run: chmod 600 %s", name, info.Mode().Perm(), shellWord(name))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyInput+1))
	if err != nil {
		return nil, fmt.Errorf("read the key: %s is no file that can be read", keyFile(name))
	}
	return text, nil
}

// longestName is the length in bytes up to which a part of a path is repeated in a message.
const longestName = 40

// keyFile is the name of a key file for messages: what was typed in its place may be the key.
func keyFile(name string) string {
	switch {
	case name == "-":
		return "stdin"
	case strings.ContainsAny(name, "{}\"\n") || strings.Contains(name, "-----"),
		len(name) > longestPlain && filepath.Ext(name) == "",
		slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return len(part) > longestName }):
		return "the file (its name is not repeated here because it may be the key)"
	}
	return clean(name)
}

// imported says what is left to do with a key that was taken over.
func (a *app) imported(file string, k *client.Key) {
	switch {
	case k.SignFrom != nil:
		a.note("It signs from %s.", signsFrom(*k.SignFrom, time.Now()))
	case k.State == client.KeyStateNext:
		a.note("It is published, and takes its turn after: marque key rotate --algorithm %s", k.Algorithm)
	}
	if file != "-" {
		a.note("The server keeps it sealed. The file still holds it in the clear: remove it when nobody needs it any more.")
	}
}

func keyCard(w io.Writer, k *client.Key) {
	card(w,
		"kid", k.KID,
		"algorithm", string(k.Algorithm),
		"state", string(k.State),
		"published_at", instant(k.PublishedAt),
		"sign_from", instant(k.SignFrom),
		"withdraw_at", instant(k.WithdrawAt),
	)
}
