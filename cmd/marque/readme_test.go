package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// TestReadme_TheTaskPagesWork types the commands of the README's task pages, in their order, into a
// shell beside a real server: what a page promises must not rot.
func TestReadme_TheTaskPagesWork(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is missing: the commands of the README are for a POSIX shell")
	}
	t.Parallel()
	pages := taskPages(t)
	r := newReader(t, bash)
	r.write("old-secret", "Zq3vY7nB1xK9mC5tR2wLhd8s\n")
	r.write("old.pem", newPEM(t))
	for _, want := range []string{
		"Connect a partner", "Move a partner from another server", "A secret has leaked", "invalid_client, why?", "Signing keys", "Who revoked what?",
		"From another machine", "Protect a service in any language", "Is all well?",
	} {
		if len(pages[want]) == 0 {
			t.Errorf("the README has no page %q with commands", want)
		}
		for _, block := range pages[want] {
			r.copyInto(want, block)
			r.run(want, block)
		}
	}
	r.check()
}

// newPEM returns a private ES256 key as another server may have written it.
func newPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// copyInto sets what a person copies from one answer into the next command.
func (r *reader) copyInto(page, block string) {
	partner := "acme-eu"
	if strings.Contains(page, "Move") {
		partner = "legacy-7"
	}
	for variable, value := range map[string]func() string{
		"CREDENTIAL":  func() string { return r.firstCredential(partner) },
		"SECRET":      func() string { return r.newSecret(partner) },
		"OPS_SECRET":  func() string { return r.newSecret("ops") },
		"GATE_SECRET": func() string { return r.newSecret("accounts-gate") },
	} {
		if strings.Contains(block, `"$`+variable+`"`) {
			r.set(variable, value())
		}
	}
}

// taskPages returns the shell blocks of each page under "## Tasks" of the README.
func taskPages(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tasks, ok := strings.Cut(string(text), "\n## Tasks\n")
	if !ok {
		t.Fatal("the README has no section Tasks")
	}
	tasks, _, _ = strings.Cut(tasks, "\n## ")
	pages := map[string][]string{}
	for page := range strings.SplitSeq(tasks, "\n### ") {
		title, body, _ := strings.Cut(page, "\n")
		for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(body, -1) {
			pages[title] = append(pages[title], m[1])
		}
	}
	return pages
}

// reader is who follows the README: a shell in a folder of its own, beside a server.
type reader struct {
	t      *testing.T
	bash   string
	dir    string
	server *server
	env    []string
}

func newReader(t *testing.T, bash string) *reader {
	t.Helper()
	r := &reader{t: t, bash: bash, dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(r.dir, "marque")); err != nil {
		t.Fatal(err)
	}
	c := devConfig(t)
	r.server = startTest(t, c, options{withoutSample: true})
	r.env = append(os.Environ(), "PATH="+r.dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	r.set("MARQUE_DATA", c.Data)
	r.set("ISSUER", r.server.Issuer())
	r.set("ADMIN", "http://"+r.server.AdminAddress())
	return r
}

func (r *reader) set(name, value string) { r.env = append(r.env, name+"="+value) }

func (r *reader) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// run types a block. What it says is in the log of a failed test only.
func (r *reader) run(page, block string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.bash, "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Env = r.dir, r.env
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s\n%s", page, err, block, out)
	}
}

// marque runs one command with --json and decodes what it prints.
func (r *reader) marque(answer any, args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(r.dir, "marque"), append(args, "--json")...)
	cmd.Env = r.env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("marque %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	if err := json.Unmarshal(out, answer); err != nil {
		r.t.Fatalf("marque %s: %v", strings.Join(args, " "), err)
	}
}

// newSecret stands for the secret that a person wrote down when the client was made.
func (r *reader) newSecret(id string) string {
	var made client.Secret
	r.marque(&made, "client", "secret", "add", id)
	return text(made.ClientSecret)
}

// firstCredential returns the id of a client's first secret.
func (r *reader) firstCredential(id string) string {
	var all []client.Secret
	r.marque(&all, "client", "secret", "list", id)
	return all[0].CredentialID
}

// check looks whether the pages did what they say.
func (r *reader) check() {
	r.t.Helper()
	var log []client.AuditEntry
	r.marque(&log, "audit", "list", "--action", "client.secret.revoke")
	if len(log) != 2 || text(log[0].Reason) != "pushed to a public repository" {
		r.t.Errorf("the audit log says %+v", log)
	}
	var void []client.Revocation
	r.marque(&void, "revocation", "list")
	kinds := map[string]bool{}
	for _, v := range void {
		kinds[string(v.Kind)] = true
	}
	if !kinds["client"] || !kinds["credential"] {
		r.t.Errorf("void is %+v", void)
	}
}
