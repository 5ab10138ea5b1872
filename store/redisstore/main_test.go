package redisstore

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain: when all tests have ended, no goroutine of theirs is left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
