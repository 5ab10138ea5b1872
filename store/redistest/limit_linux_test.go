package redistest_test

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/redistest"
)

// A server whose disk is full refuses writes and goes on when there is room; one that syncs always ends by itself.
func TestServer_LimitFiles(t *testing.T) {
	s := redistest.Start(t)
	c := s.Client()
	set(t, c, "k", "v")
	size := func() uint64 {
		info, err := os.Stat(s.AppendOnlyFile())
		if err != nil {
			t.Fatal(err)
		}
		return uint64(info.Size())
	}
	s.LimitFiles(size() + 3) // in the middle of what comes
	denied := func() bool {
		err := c.Set(t.Context(), "k", "w", 0).Err()
		return err != nil && strings.HasPrefix(err.Error(), "MISCONF")
	}
	wait(t, denied)
	s.LimitFiles(math.MaxUint64)
	wait(t, func() bool { return !denied() })
	s.Kill()
	s.Restart()
	wantValue(t, s.Client(), "k", "w")

	strict := redistest.Start(t, redistest.Args("--appendfsync", "always"))
	c = strict.Client()
	set(t, c, "k", "v")
	strict.LimitFiles(0)
	if err := c.Set(t.Context(), "k", "w", 0).Err(); err == nil {
		t.Error("a write was acknowledged")
	}
	wait(t, func() bool { return !strict.Alive() })
	strict.Restart()
	wantValue(t, strict.Client(), "k", "v")
}

func wait(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}
