package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// silence keeps go-redis from writing lines of its own to standard error: what it would say there is in the
// errors that it returns.
var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

type silent struct{}

// Printf implements the library's logger.
func (silent) Printf(context.Context, string, ...any) {}

// newClient returns a client that never repeats a command by itself: after a lost answer a write that
// was made would be made again, and find that it exists.
func newClient(c Config, connections int) redis.UniversalClient {
	silence()
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: c.Addrs, MasterName: c.MasterName, IsClusterMode: c.Cluster,
		Username: c.Username, Password: c.Password,
		SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword,
		TLSConfig: c.TLS,

		Protocol:              3,
		DisableIdentity:       true,
		ContextTimeoutEnabled: true, // without it a context of 200 ms returns after the read's time-out
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           c.CallTimeout,
		ReadTimeout:           c.CallTimeout + max(c.Timeout, fenceTimeout) + waitStep, // WAIT and XREAD answer late; contexts bound them all
		WriteTimeout:          c.CallTimeout,
		PoolTimeout:           c.CallTimeout,
		PoolSize:              connections,
		PipelinePoolSize:      -1, // one pool: what a node holds open is that
		ReadBufferSize:        bufferSize,
		WriteBufferSize:       bufferSize,

		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if c.Observe == nil {
		return client
	}
	if cluster, ok := client.(*redis.ClusterClient); ok { // what is sent to a node directly is not seen above it
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(observer{c.Observe}) })
	} else {
		client.AddHook(observer{c.Observe})
	}
	return client
}

const (
	poolSize   = 32
	feedSize   = 4       // who waits for a change holds one, the follower one, a look at the clock one
	bufferSize = 8 << 10 // a record has some hundred octets
)

// writeTimeout bounds a write together with the wait for its durability.
func (c Config) writeTimeout() time.Duration {
	if c.durable() {
		return c.CallTimeout + c.Timeout
	}
	return c.CallTimeout
}

// node returns the client of the server that holds the namespace: what is sent in one pipeline to it
// goes over one connection, which WAIT needs.
func (db *DB) node(ctx context.Context) (*redis.Client, error) {
	switch c := db.client.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, db.names.of(nameEpoch))
	}
	panic("redisstore: a client of a third kind")
}
