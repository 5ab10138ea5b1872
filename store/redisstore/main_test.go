package redisstore

import (
	"testing"

	"go.uber.org/goleak"
)

// probe is the library's, to a server that is gone; it ends within a second of Close, which TestClose waits for.
const probe = "github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"

// TestMain: when all tests have ended, no goroutine of theirs is left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(probe)) }
