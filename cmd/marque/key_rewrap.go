package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
)

func (a *app) keyRewrap() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("rewrap", "Move everything that is sealed to the key-encryption key of today", func(cmd *cobra.Command, _ []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.RewrapKeysWithResponse(cmd.Context(), nil)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		}
		return p.print(r.JSON200, func(w io.Writer) { rewrapped(w, r.JSON200) })
	})
	cmd.Long = "Moves the private signing keys and the secrets of the installation to the key-encryption key that the server has as\n" +
		"keys.kek_file, and then opens all of it with that one alone. Every server of the installation must have both\n" +
		"before: marque key new-kek says how. Doing it again changes nothing."
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

// rewrapped says what rests where, and who is still needed.
func rewrapped(w io.Writer, r *client.RewrappedKeys) {
	old := clean(strings.Join(r.Previous, ", "))
	if old == "" {
		fmt.Fprintf(w, "Nothing had to move: ")
	} else {
		fmt.Fprintf(w, "Moved from %s to %s: ", old, clean(r.KekID))
	}
	fmt.Fprintf(w, "%d private signing keys and %d secrets of the installation rest under the key-encryption key %s. All were read back and opened with it alone.\n",
		r.Keys, r.Secrets, clean(r.KekID))
	if old == "" {
		return
	}
	fmt.Fprintf(w, "This store no longer needs %s: drop it from keys.previous_kek_files on every server. Backups that were made before still need it: keep it as long as you keep them.\n", old)
}

func (a *app) keyNewKEK() *cobra.Command {
	var p *printer
	var data string
	cmd := verb("new-kek FILE", "Make a file with a new key-encryption key", func(_ *cobra.Command, args []string) error {
		c := configs.Config{Data: data}
		if c.Data == "" {
			c.Data, _ = configs.DefaultData(a.environ) // without one there is no folder to keep out of
		}
		if c.Data != "" {
			if err := checkOutside(c, args[0]); err != nil {
				return err
			}
		}
		if err := checkFolderOf(args[0]); err != nil {
			return err
		}
		kek, err := keys.WriteKEKFile(args[0])
		if err != nil {
			return err
		}
		made := madeKEK{kek.ID(), args[0]}
		return p.print(made, made.say)
	})
	cmd.Long = "Makes a file with a new key-encryption key, of mode 0600, and says how an installation moves to it. An existing file\n" +
		"is left as it is. No server is asked, and nothing else changes."
	cmd.ValidArgsFunction = nil // files
	a.dataFlag(cmd, &data)
	p = a.printing(cmd)
	return cmd
}

// madeKEK is a key-encryption key that was just made.
type madeKEK struct {
	KEKID string `json:"kek_id"`
	File  string `json:"file"`
}

func (m madeKEK) say(w io.Writer) {
	file := clean(m.File)
	fmt.Fprintf(w, "Made the key-encryption key %s in %s: keep a copy of it apart from the data.\n", m.KEKID, file)
	fmt.Fprintf(w, "An installation moves to it so:\n"+
		"  1. On every server, name a copy of it as keys.kek_file, and the key of until now in keys.previous_kek_files.\n"+
		"  2. Restart the servers, one after the other: all of them can open both then.\n"+
		"  3. marque key rewrap\n"+
		"  4. Drop the earlier key from keys.previous_kek_files on every server, and keep it as long as backups from before.\n")
}
