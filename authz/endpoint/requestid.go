package endpoint

import "context"

type requestIDKey struct{}

// requestContext is a context that carries the request's identifier: one allocation where
// context.WithValue takes two.
type requestContext struct {
	context.Context
	id string
}

func (c *requestContext) Value(key any) any {
	if key == (requestIDKey{}) {
		return c.id
	}
	return c.Context.Value(key)
}

// RequestID returns the identifier that the answer to the current request shows as X-Request-Id;
// empty outside a request. It is made by this server: what a caller sends under that name is ignored,
// so that nobody can write into our log or join two requests there.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
