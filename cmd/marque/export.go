package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

// exporting is one call of export.
type exporting struct {
	app      *app
	settings *settingFlags
	sure     *confirmation
	printer  *printer

	file          string
	final, reopen bool
	away          error // why the store was not in use when this began: it was closed; else nil
}

func (a *app) exportCommand() *cobra.Command {
	x := &exporting{app: a}
	cmd := verb("export FILE", "Write everything that the store holds to a file, for another store", func(cmd *cobra.Command, args []string) error {
		c, err := x.settings.load(false)
		if err != nil {
			return err
		}
		if x.reopen {
			return x.undo(cmd.Context(), c.Config)
		}
		x.file = args[0]
		return x.run(cmd.Context(), c.Config)
	})
	cmd.Use = "export FILE|-"
	cmd.Long = "Writes clients, resources, signing keys, pepper, revocations and the audit log to a new file of mode 0600, which\n" +
		"marque import reads. It is authenticated under the key-encryption key; what is secret in it rests sealed, as in the\n" +
		"store. The embedded store can be exported while no server has it; Redis also while servers run.\n\n" +
		"With --final the store is closed first: its servers refuse everything from then on, so that nothing can be revoked\n" +
		"there which the file lacks. Only so can an import go on with the tokens that were issued before; after any other\n" +
		"one, partners get new ones. --reopen undoes that, until the export was imported."
	cmd.ValidArgsFunction = nil // files
	one := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case x.reopen && (x.final || x.printer.json):
			return usagef("--reopen stands alone")
		case x.reopen && len(args) > 0:
			return surplus(cmd, args[0])
		case x.reopen:
			return nil
		case len(args) > 0 && args[0] == "-" && x.printer.json:
			return usagef("--json and the export itself cannot both go to stdout: name a file")
		}
		return one(cmd, args)
	}
	cmd.Flags().BoolVar(&x.final, "final", false, "close the store first; its servers stop serving")
	cmd.Flags().BoolVar(&x.reopen, "reopen", false, "open the store again that --final has closed")
	x.settings = a.settings(cmd, "data", "kek-file", "store")
	x.printer, x.sure = a.printing(cmd), a.confirming(cmd)
	return cmd
}

func (x *exporting) run(ctx context.Context, c configs.Config) (err error) {
	keks, err := readKEKs(c)
	if err != nil {
		return err
	}
	to := x.app.stdout
	var draft *draftFile
	if x.file != "-" {
		if draft, err = newDraft(x.file); err != nil {
			return err
		}
		defer draft.discard()
		to = draft
	}
	b := newBackend(c)
	db, err := x.app.openToMove(ctx, b, true)
	if err != nil {
		return exportable(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	src := moving.Source{Store: db, Namespace: c.Store.Namespace, KEKs: keks, ID: moving.NewID(), Final: x.final}
	if err := x.begin(ctx, b, db, &src); err != nil {
		return err
	}
	done, err := x.write(ctx, to, src, "Exporting:")
	if err == nil && x.final {
		err = stillClosed(ctx, db, src.ID)
	}
	if err == nil && draft != nil {
		err = draft.publish()
	}
	if err != nil {
		return x.broken(ctx, err)
	}
	return x.report(c, b.place(), done)
}

// exportable says of an embedded store that a server has why that is in the way.
func exportable(err error) error {
	var held *inUseError
	if errors.As(err, &held) {
		return &saidError{fmt.Sprintf("the data folder %s is in use by another marque process, and the embedded store can be exported only while none has it: stop that one, and run this again", held.dir), err}
	}
	return err
}

func (x *exporting) write(ctx context.Context, to io.Writer, src moving.Source, what string) (moving.Exported, error) {
	m := x.app.meter(what, 0)
	defer m.end()
	src.Progress = m.show
	return moving.Export(ctx, to, src)
}

// broken says what an export that failed leaves behind, and what can help.
func (x *exporting) broken(ctx context.Context, err error) error {
	var damaged *store.RecordError
	again := "run this again, or "
	switch {
	case stopped(ctx, err):
		err = errors.New("stopped")
	case errors.Is(err, errReopened):
		return fmt.Errorf("%w; nothing was exported", err)
	case errors.As(err, &damaged): // it was whole when it was rehearsed
		again = ""
	case errors.Is(err, syscall.ENOSPC):
		again = "make room and run this again, or "
	}
	if x.final {
		return fmt.Errorf("%w; nothing was exported, and the store is closed: %sopen it again with %s", err, again, x.settings.again("export --reopen"))
	}
	return fmt.Errorf("%w; nothing was exported", err)
}

// again is a command with the settings of this one.
func (f *settingFlags) again(command string) string {
	words := "marque " + command
	if f.file != "" {
		words += " --config " + shellWord(f.file)
	}
	for _, name := range []string{"store", "data", "kek-file"} {
		if flag := f.cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			words += " --" + name + " " + shellWord(flag.Value.String())
		}
	}
	return words
}

// exportedJSON is what --json says of an export.
type exportedJSON struct {
	ExportID string             `json:"export_id"`
	File     string             `json:"file"`
	Issuer   string             `json:"issuer"`
	MadeAt   time.Time          `json:"made_at"`
	Final    bool               `json:"final"`
	Records  map[store.Kind]int `json:"records"`
	Changed  int                `json:"clients_changed_meanwhile"`
}

func (x *exporting) report(c configs.Config, p place, done moving.Exported) error {
	h := done.Header
	out := exportedJSON{h.ID, x.file, h.Installation.Issuer, h.MadeAt, h.Final, done.End.Records, len(done.End.Changed)}
	human := func(w io.Writer) {
		to := clean(x.file)
		if x.file == "-" {
			to = "stdout"
		}
		fmt.Fprintf(w, "Exported the installation of %s from %s to %s: %s.\n", clean(out.Issuer), clean(p.name), to, countedKinds(out.Records))
		if out.Changed > 0 {
			fmt.Fprintf(w, "%s changed meanwhile: what it says of them may be from before or after.\n", counted(out.Changed, "client"))
		}
		switch {
		case !h.Final && x.away != nil:
			fmt.Fprintf(w, "The store was closed before, and not for this export, so an import revokes everything that was issued before it.\n")
			return
		case !h.Final:
			fmt.Fprintf(w, "The store may change from now on, so an import revokes everything that was issued before it; marque export --final makes an export that need not.\n")
			return
		}
		fmt.Fprintf(w, "The store is closed. Next, with the settings of the new place: marque import %s --source %s\n", shellWord(x.file), x.source(c))
		fmt.Fprintf(w, "To go on here instead: %s\n", x.settings.again("export --reopen"))
	}
	if x.file == "-" { // stdout is taken
		human(x.app.stderr)
		return nil
	}
	return x.printer.print(out, human)
}

// source is how an import names this store.
func (x *exporting) source(c configs.Config) string {
	if x.settings.file != "" {
		return shellWord(x.settings.file)
	}
	if c.Store.Driver == "bolt" {
		return shellWord(c.Data)
	}
	return "CONFIG"
}

// undo opens a store again.
func (x *exporting) undo(ctx context.Context, c configs.Config) (err error) {
	b := newBackend(c)
	db, err := x.app.openToMove(ctx, b, true)
	if err != nil {
		return exportable(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	before, err := db.State(ctx)
	if err != nil {
		return err
	}
	if err := db.Reopen(ctx); err != nil {
		if errors.Is(err, store.ErrClosed) {
			return fmt.Errorf("%s stays closed: what it held goes on elsewhere, and here nobody would hear of what is revoked there (%w). If that place is lost, make another of this one, in which everything that was issued until then is revoked: %s, then, with the settings of the new place, marque import FILE", b.place().name, err, x.settings.again("export FILE"))
		}
		return err
	}
	if before.InUse() {
		_, err = fmt.Fprintf(x.app.stdout, "%s is open, and was; nothing has changed.\n", b.place().name)
		return err
	}
	if err := noteExport(ctx, db, actionReopen, nil); err != nil {
		return fmt.Errorf("%s is open, and that could not be recorded in its audit log: %w", b.place().name, err)
	}
	_, err = fmt.Fprintf(x.app.stdout, "%s is open. An export that was made of it before is not complete any more.\n"+
		"If one was imported anywhere without --source, do not start that place: there would be two, which know nothing of what the other revokes.\n", b.place().name)
	return err
}
