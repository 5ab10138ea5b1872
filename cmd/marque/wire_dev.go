package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// The sample that --dev creates.
const (
	sampleResource     = "https://fulfilment.example"
	sampleScope        = "orders:read orders:write"
	sampleDefaultScope = "orders:read"
	sampleClient       = "acme"
	sampleClientName   = "Acme"
)

// sample creates the sample resource and client on the first start of a --dev server, and sees to it
// that the client's secret lies in the data folder. Later it changes nothing that somebody changed.
func (s *server) sample(ctx context.Context) error {
	by := audit.Origin{Actor: audit.System("dev"), Reason: "sample"}
	_, _, err := s.registry.CreateResource(ctx, by, authz.ResourceSpec{ID: sampleResource, Scopes: []string{sampleScope}})
	if err != nil && !errors.Is(err, authz.ErrConflict) {
		return fmt.Errorf("create the sample resource: %w", err)
	}
	secret, err := s.sampleSecret(ctx, by)
	if err != nil || secret == "" {
		return err
	}
	if err := writeSecret(s.sampleFile(), secret); err != nil {
		return fmt.Errorf("keep the sample client's secret: %w", err)
	}
	return nil
}

// sampleSecret returns a secret to be kept, or none when the one that is kept still belongs to the
// sample client.
func (s *server) sampleSecret(ctx context.Context, by audit.Origin) (authz.Secret, error) {
	switch _, err := s.registry.Client(ctx, sampleClient); {
	case errors.Is(err, authz.ErrNotFound):
		_, secret, _, err := s.registry.CreateClient(ctx, by, authz.ClientSpec{
			ID: sampleClient, Name: sampleClientName,
			Scopes: []string{sampleScope}, DefaultScopes: []string{sampleDefaultScope}, Resources: []string{sampleResource},
		})
		if err != nil {
			return "", fmt.Errorf("create the sample client: %w", err)
		}
		// A file of an earlier installation in this folder opens nothing any more.
		if err := os.Remove(s.sampleFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return secret, nil
	case err != nil:
		return "", err
	}
	if _, err := os.Lstat(s.sampleFile()); !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	_, secret, _, err := s.registry.AddSecret(ctx, by, sampleClient, authz.SecretSpec{})
	if errors.Is(err, authz.ErrTooManySecrets) { // no reason not to start: the admin who must revoke some needs the server
		s.log.WarnContext(ctx, "the sample client's secret file is gone, and it can have no other one", "err", err)
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("make another secret for the sample client: %w", err)
	}
	return secret, nil
}

func (s *server) sampleFile() string { return filepath.Join(s.config.Data, sampleName) }

// writeSecret writes a new file of mode 0600, without a line end: curl sends a file as it is.
func writeSecret(file string, secret authz.Secret) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, secret.Reveal())
	return errors.Join(err, f.Sync(), f.Close())
}

// samples returns three lines for bash: get a token, decode it, fetch the keys. The secret goes from
// its file to curl by curl itself, so that it is in no process list.
func (s *server) samples() string {
	return fmt.Sprintf(`
Marque serves %[1]s with a sample: client %[2]s may read and write orders at %[3]s.

# get a token
TOKEN=$(curl -sS -d grant_type=client_credentials -d client_id=%[2]s --data-urlencode client_secret@%[4]s %[1]s/oauth2/token | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p'); echo "$TOKEN"
# decode it
P=$(cut -d. -f2 <<<"$TOKEN" | tr '_-' '/+'); while [ $((${#P} %% 4)) -ne 0 ]; do P="$P="; done; base64 -d <<<"$P"; echo
# fetch the keys that verify it
curl -sS %[1]s/.well-known/jwks.json

`, s.issuer, sampleClient, sampleResource, shellQuote(resolved(s.sampleFile())))
}

// shellWord writes a word for bash, in quotes only if it needs them.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return shellQuote(s)
}

// plainWord is what a shell takes as it is written.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// shellQuote writes a word for bash.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
