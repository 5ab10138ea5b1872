package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// lists is how long an admin waits for a page of many clients.
type lists struct {
	clients                         int
	registered                      time.Duration
	firstPage, laterPage, oneByName times
}

type times []time.Duration

// quantile returns the time that a share of all took at most; there is at least one.
func (t times) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// listings is how often each kind of page is asked for.
const listings = 40

// measureLists registers many more clients and asks for pages of them.
func (l *lab) measureLists(ctx context.Context, r *report) error {
	if l.settings.listed == 0 {
		return nil
	}
	began := time.Now()
	if err := l.crowd(ctx); err != nil {
		return err
	}
	seen := lists{clients: l.settings.listed, registered: time.Since(began)}
	api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
	if err != nil {
		return err
	}
	later, err := behind(ctx, api)
	if err != nil {
		return err
	}
	for i := range listings {
		place := i * l.settings.listed / listings
		for _, page := range []struct {
			took   *times
			params client.ListClientsParams
		}{
			{&seen.firstPage, client.ListClientsParams{}},
			{&seen.laterPage, client.ListClientsParams{Cursor: later}},
			{&seen.oneByName, client.ListClientsParams{Query: new(crowdName(place))}},
		} {
			began := time.Now()
			answer, err := api.ListClientsWithResponse(ctx, &page.params)
			if err == nil && (answer.JSON200 == nil || len(answer.JSON200.Clients) == 0) {
				err = fmt.Errorf("%s: %s", answer.Status(), answer.Body)
			}
			if err != nil {
				return fmt.Errorf("list clients: %w", err)
			}
			*page.took = append(*page.took, time.Since(began))
		}
	}
	r.lists(seen)
	return nil
}

// behind returns the cursor behind the first 1,000 clients: a cursor is the server's to make.
func behind(ctx context.Context, api *client.ClientWithResponses) (*string, error) {
	answer, err := api.ListClientsWithResponse(ctx, &client.ListClientsParams{Limit: new(1000)})
	if err != nil {
		return nil, err
	}
	if answer.JSON200 == nil {
		return nil, fmt.Errorf("list clients: %s", answer.Status())
	}
	return answer.JSON200.Next, nil
}

func crowdName(i int) string { return fmt.Sprintf("Crowd %06d", i) }

// crowd registers clients, several at once: each waits for the disk by itself.
func (l *lab) crowd(ctx context.Context) error {
	const workers = 8
	var wg sync.WaitGroup
	failed := make(chan error, workers)
	for w := range workers {
		wg.Go(func() {
			api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
			for i := w; i < l.settings.listed && err == nil; i += workers {
				err = l.registerOne(ctx, api, i)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

func (l *lab) registerOne(ctx context.Context, api *client.ClientWithResponses, i int) error {
	_, err := createClient(ctx, api, client.ClientMetadata{
		ClientID: new(fmt.Sprintf("crowd-%06d", i)), ClientName: crowdName(i), Scope: new(scope),
		Resources: &[]string{resourceOf(algorithms()[0])},
	})
	return err
}
