package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
)

// connection is the way from a command to the running server: the socket in its data folder, or the
// admin listener of another machine.
type connection struct {
	app    *app
	data   string
	socket string

	remote remote
	reason string

	brought *configs.Secret // what a client brings along, in the same command
}

// connection adds to a command the flags that say where the server is.
func (a *app) connection(cmd *cobra.Command) *connection {
	c := &connection{app: a}
	a.dataFlag(cmd, &c.data)
	c.remote.flags(cmd)
	return c
}

// changing is connection for a command that changes something: it takes a reason for the audit log.
func (a *app) changing(cmd *cobra.Command) *connection {
	c := a.connection(cmd)
	cmd.Flags().StringVar(&c.reason, "reason", "", "why, for the audit log; at most 256 bytes")
	return c
}

func (a *app) dataFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().StringVar(data, "data", "", "the server's data folder (default $MARQUE_DATA, else $HOME/.marque)")
}

// open returns a client of the management API. It connects when it is used.
func (c *connection) open() (*client.ClientWithResponses, error) {
	if err := checkReason(c.reason); err != nil {
		return nil, err
	}
	if c.remote.given() {
		return c.openRemote()
	}
	if err := c.remote.here(); err != nil {
		return nil, err
	}
	if c.data == "" {
		dir, err := configs.DefaultData(c.app.environ)
		if err != nil {
			return nil, usagef("%v: --data DIR", err)
		}
		c.data = dir
	}
	c.socket = filepath.Join(c.data, socketName)
	if err := checkSocketPath(c.socket); err != nil {
		return nil, err
	}
	api, err := client.NewUnix(c.socket)
	if err != nil {
		return nil, err
	}
	if plain, ok := api.ClientInterface.(*client.Client); ok {
		plain.Client = &explaining{&repeating{plain.Client}, c.reason}
	}
	return api, nil
}

// explaining sends the reason of a change along.
type explaining struct {
	next   client.HttpRequestDoer
	reason string
}

// Do implements client.HttpRequestDoer.
func (d *explaining) Do(r *http.Request) (*http.Response, error) {
	if d.reason != "" {
		r.Header.Set("X-Marque-Reason", d.reason)
	}
	return d.next.Do(r)
}

// checkReason finds what the server would refuse, and what net/http would refuse with less to say.
func checkReason(reason string) error {
	if !authz.ValidReason(reason) {
		return usagef("--reason: %s", authz.ReasonRule)
	}
	return nil
}

// failed explains why the server could not be asked.
func (c *connection) failed(err error) error {
	var at *url.Error
	if errors.As(err, &at) { // the path holds what was typed, which may be a secret in the wrong place
		err = at.Err
	}
	switch {
	case c.remote.given():
		return c.remote.failed(err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return c.notRunning()
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the server on %s belongs to another user: run this command as that user (%w)", c.data, err)
	}
	return fmt.Errorf("ask the server on %s: %w", c.data, err)
}

// notRunning looks into the data folder and says how to start a server on what is there.
func (c *connection) notRunning() error {
	exists := func(name string) bool {
		_, err := os.Lstat(filepath.Join(c.data, name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	dir := shellWord(c.data)
	switch {
	case !exists(databaseName) && exists(lockName): // of a server on Redis
		if exists(devKEKName) {
			return fmt.Errorf("no server runs on %s; start it: marque serve --dev --store redis --data %s", c.data, dir)
		}
		return fmt.Errorf("no server runs on %s; start it: marque serve --store redis --data %s --kek-file F", c.data, dir)
	case !exists(databaseName):
		return fmt.Errorf("no installation in %s; if a server runs elsewhere, name its folder with --data or %s", c.data, configs.Variable("data"))
	case exists(devKEKName):
		return fmt.Errorf("no server runs on %s; start it: marque serve --dev --data %s", c.data, dir)
	}
	return fmt.Errorf("no server runs on %s; start it: marque serve --data %s --kek-file F", c.data, dir)
}

// pages reads a list to its end. It is never nil, so that it prints as an array.
func pages[T any](page func(cursor *string) ([]T, *string, error)) ([]T, error) {
	all := []T{}
	var cursor *string
	for {
		some, next, err := page(cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if next == nil || (cursor != nil && *next == *cursor) {
			return all, nil
		}
		cursor = next
	}
}

// first returns the first that is not nil.
func first[T any](all ...*T) *T {
	if i := slices.IndexFunc(all, func(p *T) bool { return p != nil }); i >= 0 {
		return all[i]
	}
	return nil
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// idempotencyKey names one act of creation, so that the server makes one thing of it however often
// the request arrives.
func idempotencyKey() *string { return new(rand.Text()) }
