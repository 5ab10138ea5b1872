package keys

import (
	"context"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// uses is a Config.Algorithms.
func uses(list ...jose.Algorithm) func(context.Context) ([]jose.Algorithm, error) {
	return func(context.Context) ([]jose.Algorithm, error) { return list, nil }
}

// dev sets the windows of serve --dev.
func dev(c *Config) {
	c.JWKSMaxAge, c.RefreshInterval = 2*time.Second, time.Second
	c.Leeway, c.PublishLead = time.Second, 5*time.Second
}
