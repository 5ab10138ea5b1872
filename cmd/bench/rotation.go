package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/keys/jose"
)

// The windows of signing keys during this part, so short that each rotation can follow the last within one
// window of the measurement.
var quickRotation = []string{
	"MARQUE_KEYS_JWKS_MAX_AGE=1", "MARQUE_KEYS_REFRESH_INTERVAL=1", "MARQUE_LEEWAY=0", "MARQUE_KEYS_PUBLISH_LEAD=2",
}

// rotationWindow is longer than the publish lead.
const rotationWindow = 2500 * time.Millisecond

// maxRotations keeps the JWKS small: retiring keys stay for more than an hour.
const maxRotations = 30

// rotation is how long one token takes, in windows without and with a rotation in the middle.
type rotation struct{ quiet, rotating []window99 }

// window99 is what the slowest hundredth of the tokens of a window took at least, and the slowest of all.
type window99 struct {
	tokens    int
	p99, most time.Duration
}

// rotationClients ask for tokens meanwhile.
const rotationClients = 100

// measureRotation issues tokens while keys take over. It needs an installation of its own: longer windows
// that are stamped on keys stay.
func (l *lab) measureRotation(ctx context.Context, r *report) error {
	quick := lab{settings: l.settings, seats: l.seats, binary: l.binary, dir: filepath.Join(l.dir, "rotation"), env: quickRotation, signed: []jose.Algorithm{jose.ES256}}
	quick.settings.clients = min(quick.settings.clients, rotationClients)
	if err := os.Mkdir(quick.dir, 0o700); err != nil {
		return err
	}
	if err := quick.prepare(ctx); err != nil {
		return err
	}
	server, err := quick.serve(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	if _, err := quick.register(ctx); err != nil {
		return err
	}
	return quick.rotateUnderLoad(ctx, server, r)
}

func (l *lab) rotateUnderLoad(ctx context.Context, server *process, r *report) error {
	api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
	if err != nil {
		return err
	}
	load, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	if _, err := l.window99(ctx, server, load, nil); err != nil { // warm up, and let the next key's lead pass
		return err
	}
	var seen rotation
	for range min(l.settings.pairs, maxRotations) {
		quiet, err := l.window99(ctx, server, load, nil)
		if err != nil {
			return err
		}
		rotating, err := l.window99(ctx, server, load, func() error { return rotate(ctx, api) })
		if err != nil {
			return err
		}
		seen.quiet, seen.rotating = append(seen.quiet, quiet), append(seen.rotating, rotating)
	}
	r.rotation(seen)
	return nil
}

// window99 puts load on the server for one window; half way, act is done.
func (l *lab) window99(ctx context.Context, server *process, load *load, act func() error) (window99, error) {
	acted := make(chan error, 1)
	go func() {
		time.Sleep(rotationWindow / 2)
		if act == nil {
			acted <- nil
			return
		}
		acted <- act()
	}()
	took, err := load.timed(ctx, l.requests[jose.ES256], rotationWindow)
	if err != nil {
		return window99{}, server.failure(err)
	}
	if err := <-acted; err != nil {
		return window99{}, err
	}
	if len(took) == 0 {
		return window99{}, fmt.Errorf("no token in %s", rotationWindow)
	}
	return window99{len(took), took.quantile(0.99), took.quantile(1)}, ctx.Err()
}

// rotate lets the next ES256 key take over, and refuses to have measured anything if it does not at once.
func rotate(ctx context.Context, api *client.ClientWithResponses) error {
	alg := client.AlgorithmName(jose.ES256)
	answer, err := api.RotateKeysWithResponse(ctx, nil, client.RotateOptions{Algorithm: &alg})
	if err == nil && (answer.JSON200 == nil || len(answer.JSON200.Keys) != 1) {
		err = fmt.Errorf("%s: %s", answer.Status(), answer.Body)
	}
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	if wait := time.Until(answer.JSON200.Keys[0].SignFrom); wait > rotationWindow/2 {
		return fmt.Errorf("rotate: the key signs in %s only", wait)
	}
	return nil
}
