package redistest

import (
	"context"
	"testing"
	"time"
)

const (
	patience = 30 * time.Second // for anything to come true: the machine may be busy
	oneCall  = 2 * time.Second
)

// await asks again and again until check is content, and fails the test with its last complaint.
func await(t testing.TB, what string, logs []*Server, check func() error) {
	t.Helper()
	pause := 2 * time.Millisecond
	for end := time.Now().Add(patience); ; {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			for _, s := range logs {
				t.Logf("log of %s:\n%s", s.Addr, s.LogTail())
			}
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// brief is the context of one call. It is not the test's own, which has ended when cleanups run.
func brief() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), oneCall)
}
