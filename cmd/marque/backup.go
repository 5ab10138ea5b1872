package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store/boltstore"
)

func (a *app) backupCommand() *cobra.Command {
	var p *printer
	var settings *settingFlags
	conn := &connection{app: a}
	cmd := verb("backup FILE", "Copy the embedded store of the running server into a file, and check the copy", func(cmd *cobra.Command, args []string) error {
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		conn.data = c.Data
		made, err := a.backup(cmd.Context(), conn, c.Config, args[0])
		if err != nil {
			return err
		}
		return p.print(made, made.say)
	})
	cmd.Long = "Asks the running server for a copy of its embedded store, as it is at one instant, while it goes on serving.\n" +
		"FILE is made with mode 0600 when the copy is whole and on the disk, and never overwritten. With --kek-file\n" +
		"(or keys.kek_file, or its variable) every record of the copy is checked. The key-encryption key is not in it:\n" +
		"keep both, apart from each other. marque restore takes it back. On Redis, copy what Redis keeps."
	cmd.ValidArgsFunction = nil // files
	cmd.Flags().StringVar(&conn.reason, "reason", "", "why, for the audit log; at most 256 bytes")
	settings, p = a.settings(cmd, "data", "kek-file"), a.printing(cmd)
	return cmd
}

// savedBackup is a backup that lies in its file.
type savedBackup struct {
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"`
	Time    string `json:"time"`   // of the copy: nothing later is in it
	Issuer  string `json:"issuer"` // as the copy says
	Records *int   `json:"records,omitempty"`
	Entries *int   `json:"entries,omitempty"`
}

func (b *savedBackup) say(w io.Writer) {
	fmt.Fprintf(w, "Saved the installation of %s, as it was at %s, in %s (%d KiB).\n", clean(b.Issuer), b.Time, clean(b.File), (b.Bytes+1023)>>10)
	if b.Records == nil {
		fmt.Fprintln(w, "The file is whole. Its records were not checked: with --kek-file they are.")
		return
	}
	fmt.Fprintf(w, "The file is whole: %d records, each with its authentication code, and %d entries of the logs.\n", *b.Records, *b.Entries)
}

// backup saves a copy of the store. The file has its name only when it is whole.
func (a *app) backup(ctx context.Context, conn *connection, c configs.Config, file string) (*savedBackup, error) {
	draft, err := newDraft(file)
	if err != nil {
		return nil, err
	}
	defer draft.discard()
	keks, err := backupKEKs(&c)
	if err != nil && !errors.Is(err, errNoKEK) {
		return nil, err
	}
	asked := time.Now()
	if err := a.download(ctx, conn, draft); err != nil {
		return nil, err
	}
	info, err := draft.Stat()
	if err != nil {
		return nil, err
	}
	if err := draft.share(); err != nil {
		return nil, err
	}
	made, err := checkedBackup(ctx, draft.Name(), c, keks)
	if err != nil {
		return nil, fmt.Errorf("the copy is of no use, and was removed: %w", err)
	}
	made.File, made.Bytes = file, info.Size()
	if made.Time == "" {
		made.Time = instant(&asked)
	}
	return made, draft.publish()
}

// download reads the server's backup to its end.
func (a *app) download(ctx context.Context, conn *connection, to io.Writer) error {
	api, err := conn.open()
	if err != nil {
		return err
	}
	resp, err := api.GetBackup(ctx, nil)
	if err != nil {
		return conn.failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r, err := client.ParseGetBackupResponse(resp)
		if err != nil {
			return err
		}
		return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
	}
	bar := a.progress("copied", resp.ContentLength)
	n, err := io.Copy(io.MultiWriter(to, bar), resp.Body)
	bar.end()
	if err != nil {
		return fmt.Errorf("the backup ended after %d of %d bytes: %w", n, resp.ContentLength, err)
	}
	return nil
}

// checkedBackup reads a copy and finds out whether it can be restored.
func checkedBackup(ctx context.Context, path string, c configs.Config, keks []*jose.KEK) (*savedBackup, error) {
	db, err := boltstore.OpenBackup(boltstore.Config{Path: path, Namespace: c.Store.Namespace})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := db.Check(ctx); err != nil {
		return nil, err
	}
	if keks == nil {
		in, err := db.Installation(ctx)
		return &savedBackup{Issuer: in.Issuer}, err
	}
	b, err := openBackup(ctx, db, c.Store.Namespace, keks)
	if err != nil {
		return nil, err
	}
	return &savedBackup{Issuer: b.installation.Issuer, Time: instant(&b.newest), Records: &b.read.Records, Entries: &b.read.Entries}, nil
}
