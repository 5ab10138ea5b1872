package redisstore

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

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
		name := "pipeline"
		for _, cmd := range cmds {
			if cmd.Name() != "multi" {
				name = cmd.Name()
				break
			}
		}
		o.tell(name, outcome(err), time.Since(began))
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
