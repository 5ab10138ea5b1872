package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
)

// remote is the admin listener of another machine, and the client by whose credentials this command
// speaks there.
type remote struct {
	admin      string
	issuer     string
	clientID   string
	secretFile string
	fileFlag   string // the name of the flag of secretFile
	cmd        *cobra.Command
}

// flags adds what names another machine. --admin itself is left out where the command has one of its
// own, which then takes an address too, and --secret-file where that is about another secret.
func (r *remote) flags(cmd *cobra.Command) {
	r.cmd = cmd
	f := cmd.Flags()
	if f.Lookup("admin") == nil {
		f.StringVar(&r.admin, "admin", "", "URL of the admin listener of another machine; needs --issuer and --client-id")
	}
	if f.Lookup("issuer") == nil {
		f.StringVar(&r.issuer, "issuer", "", "with --admin: the server's issuer identifier")
	}
	if f.Lookup("client-id") == nil {
		f.StringVar(&r.clientID, "client-id", "", "with --admin: a client that was created with --admin; its secret comes in $"+configs.VariableClientSecret+" or from a file")
	}
	r.fileFlag = adminSecretFlag(cmd)
	f.StringVar(&r.secretFile, r.fileFlag, "", "with --admin: the file with the secret of --client-id, by whose right this is done")
}

// adminSecretFlag names the flag of the admin's own secret. Where --secret-file is taken, it is about a
// secret that another client brings along.
func adminSecretFlag(cmd *cobra.Command) string {
	if cmd.Flags().Lookup("secret-stdin") != nil {
		return "admin-secret-file"
	}
	return "secret-file"
}

func (r *remote) given() bool { return r.admin != "" }

// here refuses what was meant for another machine when none is named: the server on this one must not
// get what was meant for that. A flag that is given empty, such as --admin "$UNSET", counts as given.
func (r *remote) here() error {
	if r.cmd == nil {
		return nil
	}
	changed := r.cmd.Flags().Changed
	if changed("admin") && !takesRight(r.cmd) {
		return usagef("--admin is empty; it takes the URL of an admin listener, such as https://as.example:8081")
	}
	if changed("issuer") || changed("client-id") || changed(r.fileFlag) {
		url := map[bool]string{true: "--admin=URL", false: "--admin URL"}[takesRight(r.cmd)]
		return usagef("--issuer, --client-id and --%s are for another machine; name its admin listener with %s, or leave them out", r.fileFlag, url)
	}
	return nil
}

// takesRight reports whether --admin of a command is a right of the client that it is about.
func takesRight(cmd *cobra.Command) bool {
	f := cmd.Flags().Lookup("admin")
	return f != nil && f.NoOptDefVal != ""
}

// adminFlag is --admin of a command for which it is a right of the client that it is about, and with an
// address, --admin=URL, the other machine.
type adminFlag struct {
	right  *bool
	denied bool // --admin=false
	url    *string
}

func (f *adminFlag) String() string { return "" }

func (*adminFlag) Type() string { return "bool or URL" }

// Set implements pflag.Value.
func (f *adminFlag) Set(s string) error {
	switch {
	case s == "true" || s == "false":
		*f.right, f.denied = s == "true", s == "false"
	case strings.Contains(s, "://"):
		*f.url = s
	default:
		return errors.New("written --admin, --admin=false, or --admin=URL for another machine")
	}
	return nil
}

// openRemote returns a client of the management API on another machine. The secret goes to the issuer
// alone; the admin listener sees a token that is good for nothing else.
func (c *connection) openRemote() (*client.ClientWithResponses, error) {
	r := &c.remote
	if c.data != "" {
		return nil, usagef("--data is a folder on this machine, and --admin another machine; give one of them")
	}
	if r.issuer == "" || r.clientID == "" {
		return nil, usagef("--admin needs --issuer and --client-id, for a token to show there")
	}
	u, err := url.Parse(r.admin)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, usagef("--admin: %q is not the URL of a listener, such as https://as.example:8081", r.admin)
	}
	for flag, address := range map[string]string{"--admin": r.admin, "--issuer": r.issuer} {
		if _, err := plainHTTP(flag, address); err != nil {
			return nil, err
		}
	}
	secret, err := c.app.clientSecret(r.secretFile, r.fileFlag)
	switch {
	case err != nil && c.brought != nil:
		return nil, usagef("%v; --secret-file and --secret-stdin are here for a secret that the other client keeps", err)
	case err != nil:
		return nil, err
	case c.brought != nil && secret.Reveal() == c.brought.Reveal():
		return nil, usagef("the secret that the client is to keep is the one of %s, by whose right this is done; that one belongs in --%s", r.clientID, r.fileFlag)
	}
	bearer := &bearer{next: outward(), fetch: func(ctx context.Context) (string, error) { return r.token(ctx, secret) }}
	return client.NewClientWithResponses(u.Scheme+"://"+u.Host, client.WithHTTPClient(&explaining{&repeating{bearer}, c.reason}))
}

// token gets an access token for the management API, as any client gets one.
func (r *remote) token(ctx context.Context, secret configs.Secret) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, outward()), callTimeout)
	defer cancel()
	served, err := discover(ctx, r.issuer)
	if err != nil {
		return "", err
	}
	endpoint, err := served.endpoint("token endpoint", served.TokenEndpoint)
	if err != nil {
		return "", err
	}
	t, err := getToken(ctx, clientcredentials.Config{
		ClientID: r.clientID, ClientSecret: secret.Reveal(), TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInHeader,
		Scopes: []string{authz.ScopeAdmin}, EndpointParams: url.Values{"resource": {string(authz.AdminResource(r.issuer))}},
	})
	var no *tokenRefusal
	if errors.As(err, &no) && (no.code == "invalid_target" || no.code == "invalid_scope") { // it is who it says, and may not
		return "", fmt.Errorf("%s does not manage this server; see marque client create --admin (%w)", quoted(r.clientID), err)
	}
	return t.AccessToken, err
}

// bearer shows a token, which it gets before the first request. What an admin does can void it, such as
// revoking every signing key: if the answer was lost then, the repeat of the request needs another one. It
// serves one request at a time.
type bearer struct {
	next  client.HttpRequestDoer
	fetch func(context.Context) (string, error)

	token string
	last  *http.Request // that it was shown with
}

// errNoToken marks what went wrong before the admin listener was asked.
type errNoToken struct{ error }

func (e errNoToken) Unwrap() error { return e.error }

// Do implements client.HttpRequestDoer.
func (b *bearer) Do(r *http.Request) (*http.Response, error) {
	again := b.last == r
	resp, err := b.show(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && again && (r.Body == nil || r.GetBody != nil) {
		resp.Body.Close()
		b.token = ""
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		resp, err = b.show(r)
	}
	if err == nil && resp.StatusCode == http.StatusNotFound && resp.Header.Get("Content-Type") != problemType {
		resp.Body.Close()
		return nil, errElsewhere
	}
	return resp, err
}

func (b *bearer) show(r *http.Request) (*http.Response, error) {
	if b.token == "" {
		token, err := b.fetch(r.Context())
		if err != nil {
			return nil, errNoToken{err}
		}
		b.token = token
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	b.last = r
	return b.next.Do(r)
}

// problemType is what the management API explains refusals in (RFC 9457). Whatever does not is no admin
// listener.
const problemType = "application/problem+json"

var errElsewhere = errors.New("no admin listener")

func (r *remote) failed(err error) error {
	var before errNoToken
	if errors.As(err, &before) {
		return fmt.Errorf("get a token for %s: %w", authz.AdminResource(r.issuer), before.error)
	}
	if errors.Is(err, errElsewhere) {
		what := "that is no admin listener"
		if a, errA := url.Parse(r.admin); errA == nil {
			if i, errI := url.Parse(r.issuer); errI == nil && a.Host == i.Host {
				what = "that is the public listener"
			}
		}
		return fmt.Errorf("%s answered 404: %s; --admin takes the admin listener's URL (admin.listen)", r.admin, what)
	}
	return fmt.Errorf("ask %s: %w", r.admin, err)
}
