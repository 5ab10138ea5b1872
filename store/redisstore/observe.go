package redisstore

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Commands are the names that Config.Observe is told, besides those of commands by which a library finds its way
// in a Cluster. A call that is several commands in one round trip goes by the first of them: mget reads records;
// exists the version of a client, or looks for a namespace; zrangebylex a list; xrange and xrevrange the feed and
// the audit log; xread waits for changes, and its time says nothing; scan and xinfo export and import, or inspect; get looks at nothing but the namespace. A script is an evalsha, or an eval when Redis
// had not seen it: a write is two of them, to read what it replaces, and to commit.
func Commands() []string {
	return []string{
		"dial", "hello", "auth", "info", "config", "time",
		"mget", "get", "exists", "zrangebylex", "zmscore", "xrange", "xrevrange", "xread", "xinfo", "scan", "type", "zrem",
		"evalsha", "eval",
	}
}

// observer tells of calls by name, outcome and time, and nothing else of them.
type observer struct {
	tell func(command, outcome string, took time.Duration)
}

var _ redis.Hook = observer{}

// DialHook implements redis.Hook.
func (o observer) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		began := time.Now()
		conn, err := next(ctx, network, addr)
		o.tell("dial", outcome(err), time.Since(began))
		return conn, err
	}
}

// ProcessHook implements redis.Hook.
func (o observer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		o.tell(cmd.Name(), outcome(err), time.Since(began))
		return err
	}
}

// ProcessPipelineHook implements redis.Hook. A pipeline goes by the name of its first command: the
// others serve it.
func (o observer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		o.tell(cmds[0].Name(), outcome(err), time.Since(began))
		return err
	}
}

// outcome is one of a closed list: what becomes a label must not grow.
func outcome(err error) string {
	var refused redis.Error
	var network net.Error
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return "ok"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, redis.ErrPoolTimeout), errors.As(err, &network) && network.Timeout():
		return "timeout"
	case errors.As(err, &refused):
		return "refused"
	}
	return "error"
}
