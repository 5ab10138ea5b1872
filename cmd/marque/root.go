package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// run executes one command line and returns its exit code. Errors go to stderr, one line or several,
// never a stack.
func (a *app) run(ctx context.Context, args []string) int { return a.execute(ctx, a.root(), args) }

func (a *app) execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage) || !begun(cmd):
		a.note("marque: %s\nRun '%s --help' for what it takes.", redactedText(err.Error()), cmd.CommandPath())
		return exitUsage
	default:
		a.note("marque: %s", redactedText(err.Error()))
		return exitFailed
	}
}

// root returns the whole command tree.
func (a *app) root() *cobra.Command {
	root := group("marque", "An OAuth 2.0 authorization server for machines",
		a.initCommand(),
		a.serveCommand(),
		a.gateCommand(),
		a.demoCommand(),
		a.resourceCommand(),
		a.clientCommand(),
		a.revocationCommand(),
		a.keyCommand(),
		a.tokenCommand(),
		a.auditCommand(),
		a.statusCommand(),
		a.doctorCommand(),
		a.backupCommand(),
		a.restoreCommand(),
		a.exportCommand(),
		a.importCommand(),
		a.configCommand(),
		a.versionCommand(),
	)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetHelpCommand(helpCommand())
	// No template of cobra's is set: templates call methods by name, so that the linker would have to keep
	// every exported method of everything, a third of the binary.
	root.Version = thisBuild().text()
	root.SetFlagErrorFunc(flagError)
	root.Long = "Marque is an OAuth 2.0 authorization server for machines.\n\n" +
		"Start one to try it out:   marque serve --dev\n" +
		"Start one to keep:         marque init --issuer URL --kek-file F, then marque serve --kek-file F\n\n" +
		"Exit codes: 0 done, 1 refused or failed, 2 wrong usage."
	return root
}

// usageError says that the command line is wrong: exit code 2.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// annotationBegun marks a command whose own code has begun: what failed before is wrong usage,
// whichever part of the library found it.
const annotationBegun = "begun"

func begun(cmd *cobra.Command) bool { return cmd.Annotations[annotationBegun] != "" }

// verb returns a command with positional arguments that are named in use, such as "show URI".
func verb(use, short string, do func(cmd *cobra.Command, args []string) error) *cobra.Command {
	names := strings.Fields(use)[1:]
	return &cobra.Command{
		Use: use, Short: short,
		Annotations:       map[string]string{},
		ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < len(names):
				return usagef("%s is missing", strings.Join(names[len(args):], " and "))
			case len(args) > len(names):
				return surplus(cmd, args[len(names)])
			}
			return missingFlags(cmd)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.Annotations[annotationBegun] = "yes"
			return do(cmd, args)
		},
	}
}

// missingFlags says which flags a command cannot do without, and what they are.
func missingFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !f.Changed {
			missing = append(missing, "--"+f.Name+" is missing: "+f.Usage)
		}
	})
	if missing == nil {
		return nil
	}
	return usagef("%s", strings.Join(missing, "\n"))
}

// wanting adds to what a command wants of its flags before it does anything.
func wanting(cmd *cobra.Command, check func() error) {
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil {
			return err
		}
		return check()
	}
}

// group returns a command that does nothing but hold others.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	var names []string
	for _, v := range verbs {
		names = append(names, v.Name())
	}
	c := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
			}
			if mayBeSecret(args[0]) {
				return surplus(cmd, args[0])
			}
			return usagef("unknown command %q for %q; there are %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
		},
		Args: cobra.ArbitraryArgs,
	}
	c.AddCommand(verbs...)
	return c
}
