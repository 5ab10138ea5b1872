package redistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/redistest"
)

func TestStartReplica_HasTheDataAndFollows(t *testing.T) {
	primary := redistest.Start(t, redistest.Password("secret"))
	set(t, primary.Client(), "before", "v")
	replica := redistest.StartReplica(t, primary)
	wantValue(t, replica.Client(), "before", "v")

	c := primary.Client().Conn()
	defer func() { _ = c.Close() }()
	if err := c.Set(t.Context(), "after", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Wait(t.Context(), 1, 10*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("WAIT: %d replicas, %v", n, err)
	}
	wantValue(t, replica.Client(), "after", "v")
}

// A replica that comes back has what was written while it was away.
func TestStartReplica_CatchesUp(t *testing.T) {
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	replica.Kill()
	set(t, primary.Client(), "k", "v")
	replica.Restart()
	soon(t, "k at the replica", func() bool {
		return replica.Client().Get(context.Background(), "k").Val() == "v"
	})
}

// TestExpelReplicas: they keep what they had, get nothing more, and are taken again after a restart.
func TestExpelReplicas(t *testing.T) {
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	set(t, primary.Client(), "before", "v")
	soon(t, "what was written before at the replica", func() bool {
		return replica.Client().Get(context.Background(), "before").Val() == "v"
	})
	primary.ExpelReplicas()
	set(t, primary.Client(), "after", "v")
	soon(t, "the replica to have been refused", func() bool {
		info, err := replica.Info()
		return err == nil && info["master_link_status"] == "down" && info["master_link_down_since_seconds"] > "1"
	})
	wantValue(t, replica.Client(), "before", "v")
	if n := replica.Client().Exists(t.Context(), "after").Val(); n != 0 {
		t.Error("the replica has what came after")
	}
	primary.Restart()
	soon(t, "the replica to be taken again", func() bool {
		return replica.Client().Get(context.Background(), "after").Val() == "v"
	})
}

// TestStartReplicaThrough: what cuts the proxy cuts the replica off, and nobody else.
func TestStartReplicaThrough(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s.Addr)
	r := redistest.StartReplicaThrough(t, s, p)
	link := func(want string) {
		t.Helper()
		soon(t, "the link to be "+want, func() bool {
			info, err := r.Info()
			return err == nil && info["master_link_status"] == want
		})
	}
	link("up")
	p.Cut()
	link("down")
	if err := s.Client().Set(t.Context(), "a", "b", 0).Err(); err != nil {
		t.Errorf("the primary does not answer: %v", err)
	}
	p.Restore()
	link("up")
}
