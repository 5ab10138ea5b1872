package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// errNotConfirmed ends a command whose question was not answered with yes.
var errNotConfirmed = errors.New("nothing was changed")

// confirmation asks before a command does what cannot be taken back.
type confirmation struct {
	app *app
	yes bool
}

// confirming adds --yes to a command.
func (a *app) confirming(cmd *cobra.Command) *confirmation {
	c := &confirmation{app: a}
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask; without a terminal nothing is asked anyway")
	return c
}

// asks reports whether there is somebody to ask: a person at a terminal who has not said --yes. A
// script has decided already, by being written.
func (c *confirmation) asks() bool {
	f, ok := c.app.stdin.(*os.File)
	return !c.yes && ok && isTerminal(f)
}

// ask returns nil if the person says yes, or if nobody is asked.
func (c *confirmation) ask(format string, args ...any) error {
	if !c.asks() {
		return nil
	}
	fmt.Fprint(c.app.stderr, clean(fmt.Sprintf(format, args...)), " Go on? [y/N] ")
	line, err := bufio.NewReader(c.app.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}
