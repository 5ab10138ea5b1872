package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// rotate is step 7: the next signing key takes over, and no token that is out breaks.
func (d *demo) rotate(ctx context.Context) error {
	d.chapter("The admin rotates the signing key", "the key windows of a real server are hours; those of this one are seconds")
	old, err := d.fetch(ctx, d.briefly(), d.clientID, d.clientSecret, demoAPI)
	if err != nil {
		return err
	}
	var rotated []client.RotatedKey
	if err := d.admin(ctx, &rotated, "key", "rotate", "--reason", "once a month"); err != nil {
		return err
	}
	if len(rotated) != 1 {
		return fmt.Errorf("%d keys rotate", len(rotated))
	}
	next := rotated[0]
	before, err := keyOf(old.AccessToken)
	if err != nil {
		return err
	}
	if err := d.check("another key will sign, and is published already", next.KID != before, "it is the same"); err != nil {
		return err
	}
	if err := d.wait(ctx, "until the new key has been published for long enough", next.SignFrom); err != nil {
		return err
	}
	fresh, err := d.fetch(ctx, d.briefly(), d.clientID, d.clientSecret, demoAPI)
	if err != nil {
		return err
	}
	after, err := keyOf(fresh.AccessToken)
	if err != nil {
		return err
	}
	if err := d.check("new tokens carry the new kid", after == next.KID, "they carry %q", after); err != nil {
		return err
	}
	if err := d.served(ctx, "the old token still verifies", d.service, old.AccessToken); err != nil {
		return err
	}
	return d.served(ctx, "and so does the new one, in a service that was not restarted", d.service, fresh.AccessToken)
}

// keyOf returns the kid in the header of a token.
func keyOf(compact string) (string, error) {
	header, _, err := decodeToken(compact)
	if err != nil {
		return "", err
	}
	var said struct{ Kid string }
	if err := json.Unmarshal(header, &said); err != nil {
		return "", err
	}
	if said.Kid == "" {
		return "", errors.New("the token has no kid")
	}
	return said.Kid, nil
}

// wait waits until a time has come, and says how long.
func (d *demo) wait(ctx context.Context, why string, until time.Time) error {
	left := max(0, time.Until(until))
	d.fact("waiting", fmt.Sprintf("%d ms, %s", left.Milliseconds(), why))
	select {
	case <-time.After(left):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
