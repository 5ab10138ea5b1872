package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
)

// register is step 2: the admin registers the API and the partner, by the same commands that an
// admin types.
func (d *demo) register(ctx context.Context) error {
	d.chapter("An admin registers an API and a partner", "with the command line, through the admin socket")
	var resource client.Resource
	if err := d.admin(ctx, &resource, "resource", "create", demoAPI, "--scope", "orders:read orders:write"); err != nil {
		return err
	}
	if err := d.check("the API is registered", resource.Resource == demoAPI, "it is %q", resource.Resource); err != nil {
		return err
	}
	var c client.RegisteredClient
	err := d.admin(ctx, &c, "client", "create", "--name", "Acme", "--resource", demoAPI,
		"--scope", "orders:read orders:write", "--default-scope", "orders:read")
	if err != nil {
		return err
	}
	d.clientID, d.clientSecret = c.ClientID, text(c.ClientSecret)
	if err := d.check("the partner has a client_id and a client_secret", d.clientID != "" && d.clientSecret != "", "one is missing"); err != nil {
		return err
	}
	return d.secretIsGone(ctx)
}

// secretIsGone checks that the secret is shown once: not by the server, and not in its files.
func (d *demo) secretIsGone(ctx context.Context) error {
	var shown client.RegisteredClient
	if err := d.admin(ctx, &shown, "client", "show", d.clientID); err != nil {
		return err
	}
	if err := d.check("the secret is not shown again", shown.ClientSecret == nil && shown.ClientID == d.clientID, "it is"); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.server.config.Data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		content, err := os.ReadFile(d.server.config.Data + "/" + e.Name())
		if err != nil {
			return err
		}
		if bytes.Contains(content, []byte(d.clientSecret)) {
			return fmt.Errorf("%s holds the secret", e.Name())
		}
	}
	return d.check("no file in the data folder holds it", len(entries) > 0, "there are no files")
}

// admin runs one command of the command line as a user would, and shows it with what it prints for
// people. answer is what the command prints with --json.
func (d *demo) admin(ctx context.Context, answer any, args ...string) error {
	notes, err := d.run(ctx, answer, args...)
	d.output(notes)
	if err != nil {
		return err
	}
	d.card(func(w io.Writer) {
		switch v := answer.(type) {
		case *client.Resource:
			resourceCard(w, v)
		case *client.RegisteredClient:
			clientCard(w, v)
		case *client.Revocation:
			revocationCard(w, v)
		case *[]client.RotatedKey:
			rotatedTable(w, *v)
		case *[]client.Refusal:
			refusalTable(w, *v)
		case *[]client.AuditEntry:
			auditTable(w, *v)
		}
	})
	return nil
}

// quietly is admin for a command whose like the story has shown already.
func (d *demo) quietly(ctx context.Context, answer any, args ...string) error {
	_, err := d.run(ctx, answer, args...)
	if err == nil {
		d.line("   %s", d.paint(dim, "(prints a card as in step 2)"))
	}
	return err
}

// run shows a command, runs it with --json besides, and decodes what it printed into answer.
func (d *demo) run(ctx context.Context, answer any, args ...string) (notes string, err error) {
	var out, errs bytes.Buffer
	d.command("marque", args...)
	if d.input != "" {
		d.line("   %s", d.paint(dim, "(with the token on its standard input)"))
	}
	sub := &app{
		stdin: strings.NewReader(d.input), stdout: &out, stderr: &errs,
		environ: []string{configs.Variable("data") + "=" + d.server.config.Data},
	}
	code := sub.run(ctx, append(args, "--json"))
	if code != exitDone {
		return "", fmt.Errorf("marque %s: exit code %d: %s", strings.Join(args, " "), code, strings.TrimSpace(errs.String()))
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return "", fmt.Errorf("marque %s printed no JSON: %w", strings.Join(args, " "), err)
	}
	return errs.String(), nil
}
