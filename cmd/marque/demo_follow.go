package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// followPatience is how long the story waits for an event that comes in milliseconds.
const followPatience = 10 * time.Second

// follow is step 6: the API follows the revocation feed, and knows by itself what is revoked.
func (d *demo) follow(ctx context.Context) error {
	d.chapter("The API follows revocations", "one stream from the server tells it each of them, signed; it asks about no token")
	asks, revoked := &tally{}, make(chan struct{}, 1)
	var err error
	d.following, err = startService(ctx, d.server.Issuer(), asks, d.guard, func(c *verifier.Config) {
		c.Follow = &verifier.Feed{ClientID: d.apiID, Secret: verifier.Secret(d.apiSecret), WhenSilent: verifier.SilentClosed}
		c.OnFeed = func(r verifier.FeedReport) {
			if r.What == verifier.FeedRevoked {
				select {
				case revoked <- struct{}{}:
				default:
				}
			}
		}
	})
	if err != nil {
		return err
	}
	d.fact("at its start", fmt.Sprintf("it learns of all that is revoked now: %d", d.following.verifier.FeedStatus().Revocations))
	if err := d.refusedBy(ctx, d.following, "the token of step 5", d.token, token.ReasonRevoked); err != nil {
		return err
	}
	next, err := d.fetch(ctx, d.briefly(), d.clientID, d.clientSecret, demoAPI)
	if err != nil {
		return err
	}
	if err := d.served(ctx, "the API serves the call of a new one", d.following, next.AccessToken); err != nil {
		return err
	}
	before := asks.n.Load()
	began := time.Now()
	if err := d.revokeToken(ctx, next.AccessToken, "the laptop was stolen again"); err != nil {
		return err
	}
	select {
	case <-revoked:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(followPatience):
		return errors.New("the API was not told of the revocation")
	}
	if err := d.refusedBy(ctx, d.following, "the same token", next.AccessToken, token.ReasonRevoked); err != nil {
		return err
	}
	d.fact("from the admin's command to the refusal", milliseconds(time.Since(began))+", with what the command and the server took")
	asked := asks.n.Load() - before
	return d.check("with no request from the API to the server", asked == 0, "there were %d", asked)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// tally counts the requests that go through it.
type tally struct{ n atomic.Int64 }

// RoundTrip implements http.RoundTripper.
func (c *tally) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}
