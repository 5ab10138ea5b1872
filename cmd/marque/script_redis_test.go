package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/marque-auth/marque/store/redistest"
)

// TestScriptRedis runs the stories of servers on Redis.
func TestScriptRedis(t *testing.T) {
	redis := redistest.Start(t)
	testscript.Run(t, scripts("testdata/redis", func(env *testscript.Env) { env.Setenv("REDIS", redis.Addr) }))
}
