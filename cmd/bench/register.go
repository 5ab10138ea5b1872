package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/keys/jose"
)

// register registers one resource for each algorithm of the lab and all clients, through the admin socket of
// the running server, and makes one request of each client and algorithm. It returns how long the
// clients took.
func (l *lab) register(ctx context.Context) (time.Duration, error) {
	api, err := client.NewUnix(filepath.Join(l.data(), "admin.sock"))
	if err != nil {
		return 0, err
	}
	var resources []string
	for _, a := range l.signed {
		if err := createResource(ctx, api, a); err != nil {
			return 0, err
		}
		resources = append(resources, resourceOf(a))
	}
	l.requests = map[jose.Algorithm][][]byte{}
	began := time.Now()
	for i := range l.settings.clients {
		id := clientID(i)
		secret, err := createClient(ctx, api, client.ClientMetadata{ClientID: &id, ClientName: "Partner " + id, Scope: new(scope), Resources: &resources})
		if err != nil {
			return 0, err
		}
		for _, a := range l.signed {
			l.requests[a] = append(l.requests[a], tokenRequest(l.address, id, secret, resourceOf(a)))
		}
		if i == 0 {
			l.secret = secret
		}
		l.secrets = append(l.secrets, secret)
	}
	took := time.Since(began)
	l.apiSecret, err = createClient(ctx, api, client.ClientMetadata{
		ClientID: new(apiID), ClientName: "Fulfilment API", Serves: &[]string{resourceOf(jose.ES256)},
	})
	return took, err
}

func clientID(i int) string { return fmt.Sprintf("partner-%06d", i) }

func createResource(ctx context.Context, api *client.ClientWithResponses, a jose.Algorithm) error {
	algorithm := client.AlgorithmName(a)
	answer, err := api.CreateResourceWithResponse(ctx, nil, client.ResourceDefinition{
		Resource: resourceOf(a), Scopes: &[]string{scope}, Algorithm: &algorithm,
	})
	if err == nil && answer.JSON201 == nil {
		err = fmt.Errorf("%s: %s", answer.Status(), answer.Body)
	}
	if err != nil {
		return fmt.Errorf("create the resource for %s: %w", a, err)
	}
	return nil
}

// createClient registers a client and returns its secret.
func createClient(ctx context.Context, api *client.ClientWithResponses, wanted client.ClientMetadata) (secret string, err error) {
	answer, err := api.CreateClientWithResponse(ctx, nil, wanted)
	if err == nil && (answer.JSON201 == nil || answer.JSON201.ClientSecret == nil) {
		err = fmt.Errorf("%s", answer.Status()) // without the body: it may hold a secret
	}
	if err != nil {
		return "", fmt.Errorf("create client %s: %w", *wanted.ClientID, err)
	}
	return *answer.JSON201.ClientSecret, nil
}
