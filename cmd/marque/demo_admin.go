package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// register is step 2: the admin registers the API and the partner, by the same commands that an
// admin types.
func (d *demo) register(ctx context.Context) error {
	d.chapter("An admin registers an API and a partner", "with the command line, through the admin socket")
	var resource struct{ Resource string }
	if err := d.admin(ctx, &resource, "resource", "create", demoAPI, "--scope", "orders:read orders:write"); err != nil {
		return err
	}
	if err := d.check("the API is registered", resource.Resource == demoAPI, "it is %q", resource.Resource); err != nil {
		return err
	}
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	err := d.admin(ctx, &c, "client", "create", "--name", "Acme", "--resource", demoAPI,
		"--scope", "orders:read orders:write", "--default-scope", "orders:read")
	if err != nil {
		return err
	}
	d.clientID, d.clientSecret = c.ID, c.Secret
	if err := d.check("the partner has a client_id and a client_secret", c.ID != "" && c.Secret != "", "one is missing"); err != nil {
		return err
	}
	return d.secretIsGone(ctx)
}

// secretIsGone checks that the secret is shown once: not by the server, and not in its files.
func (d *demo) secretIsGone(ctx context.Context) error {
	var shown map[string]any
	if err := d.admin(ctx, &shown, "client", "show", d.clientID); err != nil {
		return err
	}
	_, there := shown["client_secret"]
	if err := d.check("the secret is not shown again", !there && len(shown) > 0, "it is"); err != nil {
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

// admin runs one command of the command line as a user would, shows it with what it printed, and
// decodes that into v.
func (d *demo) admin(ctx context.Context, v any, args ...string) error {
	var out, notes bytes.Buffer
	d.command("marque", args...)
	sub := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &notes}
	code := sub.run(ctx, append(args, "--json", "--data", d.server.config.Data))
	d.output(d.brief(out.Bytes()))
	if code != exitDone {
		return fmt.Errorf("marque %s: exit code %d: %s", strings.Join(args, " "), code, strings.TrimSpace(notes.String()))
	}
	if err := json.Unmarshal(out.Bytes(), v); err != nil {
		return fmt.Errorf("marque %s printed no JSON: %w", strings.Join(args, " "), err)
	}
	return nil
}

// brief is what a command printed, without what no reader of the story needs.
func (d *demo) brief(printed []byte) string {
	var all map[string]any
	if json.Unmarshal(printed, &all) != nil {
		return string(printed)
	}
	var lines []string
	for _, name := range []string{
		"resource", "scopes", "algorithm", "client_id", "client_secret", "credential_id", "client_name",
		"resources", "scope", "default_scope", "token_lifetime", "token_type",
	} {
		if v, ok := all[name]; ok {
			lines = append(lines, fmt.Sprintf("%-14s %v", name, v))
		}
	}
	return strings.Join(lines, "\n")
}
