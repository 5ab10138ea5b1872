package redistest_test

import (
	"testing"

	"github.com/marque-auth/marque/store/redistest"
)

func TestStart_Answers(t *testing.T) {
	s := redistest.Start(t)
	if got, err := s.Client().Ping(t.Context()).Result(); err != nil || got != "PONG" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSentinel(t *testing.T) {
	s := redistest.StartSentinel(t)
	old := s.Master()
	if got := len(s.Replicas()); got != 2 {
		t.Fatalf("%d replicas", got)
	}
	old.Kill()
	if s.AwaitFailover(old) == old {
		t.Error("the primary that was killed still is one")
	}
	old.Restart()
	s.AwaitReady()
}

func TestCluster(t *testing.T) {
	c := redistest.StartCluster(t)
	for _, node := range c.Nodes() {
		t.Log(node.Addr)
	}
}
