package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
// that the client's secret lies in the data folder. Later it changes nothing that somebody changed, and
// nothing that it finds is a reason not to start: whoever wants to put it right needs the server.
func (s *server) sample(ctx context.Context) error {
	by := audit.Origin{Actor: audit.System("dev"), Reason: "sample"}
	c, err := s.store.Client(ctx, sampleClient)
	switch {
	case err == nil && !c.DeletedAt.IsZero(): // its identifier is not given again, so it stays away
		s.log.WarnContext(ctx, "there is no sample: its client was deleted", "client_id", sampleClient)
		return nil
	case err != nil && !errors.Is(err, authz.ErrNotFound):
		return err
	}
	var secret authz.Secret
	if err != nil {
		secret, err = s.makeSample(ctx, by)
	} else {
		secret, err = s.anotherSampleSecret(ctx, by)
	}
	var rules *authz.InvalidError
	if errors.As(err, &rules) || errors.Is(err, authz.ErrConflict) || errors.Is(err, authz.ErrTooManySecrets) {
		s.log.WarnContext(ctx, "the sample is not complete", "client_id", sampleClient, "err", err)
		return nil
	}
	if err != nil || secret == "" {
		return err
	}
	if err := writeSecret(s.sampleFile(), secret); err != nil {
		return fmt.Errorf("keep the sample client's secret: %w", err)
	}
	return nil
}

// makeSample creates the sample and returns the client's secret.
func (s *server) makeSample(ctx context.Context, by audit.Origin) (authz.Secret, error) {
	_, _, err := s.registry.CreateResource(ctx, by, authz.ResourceSpec{ID: sampleResource, Scopes: []string{sampleScope}})
	if err != nil && !errors.Is(err, authz.ErrConflict) {
		return "", fmt.Errorf("create the sample resource: %w", err)
	}
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
}

// anotherSampleSecret returns a further secret for the sample client when the file with its secret is
// gone, or else none.
func (s *server) anotherSampleSecret(ctx context.Context, by audit.Origin) (authz.Secret, error) {
	if _, err := os.Lstat(s.sampleFile()); !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	_, secret, _, err := s.registry.AddSecret(ctx, by, sampleClient, authz.SecretSpec{})
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

// samples greets whoever started a --dev server: with three lines for bash if they work, or with the
// reason why they would not.
func (s *server) samples(ctx context.Context) string {
	scope, err := s.trySample(ctx)
	if err != nil {
		return fmt.Sprintf(`
Marque serves %s, without its sample: %v.
To register an API and a partner: marque resource create --help, marque client create --help.

`, s.issuer, err)
	}
	return s.sampleLines(scope)
}

// trySample gets a token as the sample's first line does, and returns what the client may ask for. The
// error says what is no longer as it was made.
func (s *server) trySample(ctx context.Context) (authz.ScopeSet, error) {
	c, err := s.registry.Client(ctx, sampleClient)
	switch {
	case errors.Is(err, authz.ErrNotFound):
		return authz.ScopeSet{}, fmt.Errorf("the client %s was deleted", sampleClient)
	case err != nil:
		return authz.ScopeSet{}, err
	case c.Disabled:
		return authz.ScopeSet{}, fmt.Errorf("the client %s is disabled", sampleClient)
	case !slices.Equal(c.Resources, []authz.ResourceID{sampleResource}):
		return authz.ScopeSet{}, fmt.Errorf("the client %s is no longer for %s alone", sampleClient, sampleResource)
	}
	secret, err := readFile(s.sampleFile(), maxSecretInput)
	if err != nil {
		return authz.ScopeSet{}, err
	}
	_, err = s.tokens.Token(ctx, authz.Request{GrantType: authz.GrantClientCredentials, Client: authz.Presented{
		Method: authz.PresentedPost, ID: sampleClient, Secret: authz.Secret(secret),
	}})
	var refusal *authz.Error
	if errors.As(err, &refusal) { // what is only unavailable for a moment is good when somebody has read this
		return authz.ScopeSet{}, fmt.Errorf("a token request with the secret in %s is refused: %s", s.sampleFile(), refusal.Code)
	}
	return c.Scopes, nil
}

// sampleLines returns three lines for bash: get a token, decode it, fetch the keys. The secret goes from
// its file to curl by curl itself, so that it is in no process list. A refusal is shown as it came.
func (s *server) sampleLines(scope authz.ScopeSet) string {
	return fmt.Sprintf(`
Marque serves %[1]s with a sample: client %[2]s may ask for %[5]s at %[3]s.

# get a token
ANSWER=$(curl -sS -d grant_type=client_credentials -d client_id=%[2]s --data-urlencode client_secret@%[4]s %[1]s/oauth2/token); TOKEN=$(sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p' <<<"$ANSWER"); echo "${TOKEN:-$ANSWER}"
# decode it
P=$(cut -d. -f2 <<<"$TOKEN" | tr '_-' '/+'); while [ $((${#P} %% 4)) -ne 0 ]; do P="$P="; done; base64 -d <<<"$P"; echo
# fetch the keys that verify it
curl -sS %[1]s/.well-known/jwks.json

`, s.issuer, sampleClient, sampleResource, shellQuote(resolved(s.sampleFile())), cmp.Or(scope.String(), "no scope"))
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
