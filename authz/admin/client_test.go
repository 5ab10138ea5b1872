package admin

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/marque-auth/marque/authz/admin/client"
)

// The generated client tells the whole story against the real server.
func TestGeneratedClient(t *testing.T) {
	s, ctx := start(t), t.Context()
	// A proxy in the environment must not see a secret.
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)

	c, err := client.NewUnix(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	resource, err := c.CreateResourceWithResponse(ctx, &client.CreateResourceParams{XMarqueReason: new("trial")}, client.ResourceDefinition{Resource: fulfilment, Scopes: &[]string{"orders:read"}})
	if err != nil || resource.JSON201 == nil || resource.JSON201.Algorithm != client.AlgorithmES256 {
		t.Fatalf("create resource: %v, %s", err, resource.Body)
	}
	if read, err := c.GetResourceWithResponse(ctx, fulfilment); err != nil || read.JSON200 == nil || read.JSON200.Resource != fulfilment {
		t.Fatalf("read resource: %v, %s", err, read.Body)
	}
	key := "one-act-of-creation"
	metadata := client.ClientMetadata{ClientName: "Acme", Scope: new("orders:read"), Resources: &[]string{fulfilment}}
	made, err := c.CreateClientWithResponse(ctx, &client.CreateClientParams{IdempotencyKey: &key}, metadata)
	if err != nil || made.JSON201 == nil || made.JSON201.ClientSecret == nil {
		t.Fatalf("create client: %v, %s", err, made.Body)
	}
	id := made.JSON201.ClientID
	again, err := c.CreateClientWithResponse(ctx, &client.CreateClientParams{IdempotencyKey: &key}, metadata)
	if err != nil || again.JSON200 == nil || again.JSON200.ClientID != id || again.JSON200.ClientSecret != nil {
		t.Fatalf("repeat: %v, %s", err, again.Body)
	}
	if list, err := c.ListClientsWithResponse(ctx, &client.ListClientsParams{Limit: new(1)}); err != nil || list.JSON200 == nil || len(list.JSON200.Clients) != 1 {
		t.Fatalf("list: %v", err)
	}
	secret, err := c.AddSecretWithResponse(ctx, id, nil, client.SecretOptions{})
	if err != nil || secret.JSON201 == nil {
		t.Fatalf("add secret: %v, %s", err, secret.Body)
	}
	if revoked, err := c.RevokeSecretWithResponse(ctx, id, secret.JSON201.CredentialID, nil, client.SecretRevocation{}); err != nil || revoked.JSON200 == nil || !revoked.JSON200.Revoked {
		t.Fatalf("revoke: %v, %s", err, revoked.Body)
	}
	if off, err := c.DisableClientWithResponse(ctx, id, nil); err != nil || off.JSON200 == nil || !off.JSON200.Disabled {
		t.Fatalf("disable: %v, %s", err, off.Body)
	}
	if rotated, err := c.RotateKeysWithResponse(ctx, nil, client.RotateOptions{}); err != nil || rotated.JSON200 == nil || len(rotated.JSON200.Keys) != 1 {
		t.Fatalf("rotate: %v, %s", err, rotated.Body)
	}
	wrong, err := c.CreateResourceWithResponse(ctx, nil, client.ResourceDefinition{Resource: "relative", TokenLifetime: new(int64(0))})
	if err != nil || wrong.ApplicationProblemJSONDefault == nil || wrong.StatusCode() != 400 || len(*wrong.ApplicationProblemJSONDefault.Errors) != 2 {
		t.Fatalf("wrong resource: %v, %s", err, wrong.Body)
	}
}

func TestGeneratedClient_NoServer(t *testing.T) {
	c, err := client.NewUnix(filepath.Join(shortDir(t), "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ListKeysWithResponse(t.Context()); err == nil {
		t.Error("no error without a server")
	}
}
