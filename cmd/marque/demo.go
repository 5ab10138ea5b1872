package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
)

func (a *app) demoCommand() *cobra.Command {
	kind := storeBolt
	cmd := verb("demo", "Watch the whole story on loopback: server, admin, partner, service", func(cmd *cobra.Command, _ []string) error {
		return a.demo(cmd.Context(), kind, requireOrders)
	})
	cmd.Flags().StringVar(&kind, "store", kind, "the kind of store: bolt, or redis, for which it starts a redis-server of its own")
	cmd.Long = "Runs a server in a fresh folder, registers an API and a partner, fetches tokens as the partner\n" +
		"and takes them as the API, withdraws tokens, rotates the key, explains a refusal, stops the\n" +
		"partner, and checks every outcome. Exit code 0 only if every step held.\n" +
		"Nothing stays behind."
	return cmd
}

// The people of the story.
const (
	demoAPI   = "https://fulfilment.example"
	demoOther = "https://accounts.example"
)

// The kinds of store that the story runs on, as store.driver names them.
const (
	storeBolt  = "bolt"
	storeRedis = "redis"
)

// demo is the story while it runs: what one chapter finds, the next ones use.
type demo struct {
	*narrator
	app    *app
	redis  *demoRedis // nil for the embedded store
	server *server

	guard                  guard  // of the service
	clientID, clientSecret string // of the partner
	service                *demoService
	token                  string       // the partner's good token
	apiID, apiSecret       string       // of the API itself
	asking                 *demoService // the API once more, asking about every token
	following              *demoService // and once more, following revocations
	input                  string       // what the next command reads from its standard input
}

// demo tells the story on a server of its own and removes everything afterwards.
func (a *app) demo(ctx context.Context, kind string, g guard) (err error) {
	if kind != storeBolt && kind != storeRedis {
		return usagef("--store is %s or %s, not %q", storeBolt, storeRedis, kind)
	}
	signal.Ignore(syscall.SIGPIPE) // who reads the story may go away, as head does; the folder must not stay behind
	data, err := os.MkdirTemp("", "marque-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &demo{narrator: newNarrator(a.stdout, a.environ), app: a, guard: g}
	d.out = &lastingWriter{a.stdout, cancel}
	defer func() { err = errors.Join(err, d.close()) }()
	for _, chapter := range []func(context.Context) error{
		func(ctx context.Context) error { return d.serve(ctx, kind, data) },
		d.register,
		d.partner,
		d.protect,
		d.refuse,
		d.withdraw,
		d.follow,
		d.rotate,
		d.explain,
		d.disable,
	} {
		if err := chapter(ctx); err != nil {
			return fmt.Errorf("the story ends at step %d: %w", d.step, err)
		}
	}
	d.end()
	return nil
}

// lastingWriter ends a context when nobody reads any more.
type lastingWriter struct {
	io.Writer
	end context.CancelCauseFunc
}

// Write implements io.Writer.
func (w *lastingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.end(fmt.Errorf("nobody reads it: %w", err))
	}
	return n, err
}

func (d *demo) close() error {
	var errs []error
	for _, s := range []*demoService{d.service, d.asking, d.following} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if d.server != nil {
		errs = append(errs, d.server.Close())
	}
	if d.redis != nil {
		errs = append(errs, d.redis.Close())
	}
	return errors.Join(errs...)
}

// serve is step 1: a server on the embedded store, or on a Redis.
func (d *demo) serve(ctx context.Context, kind, data string) error {
	c := configs.Defaults(true)
	c.Data, c.Listen, c.Admin.Listen = data, "127.0.0.1:0", "127.0.0.1:0"
	where := "on the embedded store"
	var err error
	if kind == storeRedis {
		if d.redis, err = startDemoRedis(ctx, filepath.Join(data, "redis")); err != nil {
			return err
		}
		d.redis.settings(&c)
		where = "on a Redis at " + d.redis.address
	}
	d.chapter("A server starts", where+", in a fresh folder, on free loopback ports")
	if d.server, err = start(ctx, c, options{withoutSample: true}); err != nil {
		return err
	}
	d.card(func(w io.Writer) {
		card(w,
			"issuer", d.server.Issuer(),
			"admin", d.server.Socket()+"  (mode 0600)",
			configs.Variable("data"), data+"  (set for the commands below)",
		)
	})
	if d.redis != nil {
		if err := d.wait(ctx, "the first key signs once every server of a shared store knows it", d.firstSignature()); err != nil {
			return err
		}
	}
	body, err := d.get(ctx, d.server.Issuer()+"/readyz")
	if err != nil {
		return err
	}
	return d.check("it is ready to issue tokens", body != "", "no answer")
}

// firstSignature is when the first key begins to sign.
func (d *demo) firstSignature() (from time.Time) {
	for _, k := range d.server.ring.List() {
		if k.Algorithm == d.server.algorithm() && (from.IsZero() || k.SignFrom.Before(from)) && !k.SignFrom.IsZero() {
			from = k.SignFrom
		}
	}
	return from
}
