package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

// Revocations are counted, and neither snapshots nor heartbeats; one that is missing is an error.
func TestAudience_CountsRevocations(t *testing.T) {
	frame := func(id string) string {
		return "id: " + id + "\nevent: set\ndata: " + strings.Repeat("x", 10_000) + "id: R.9\n\n"
	}
	stream := "event: set\ndata: part\n\n" + frame("R.7") + frame("R.7") + frame("R.8") + frame("R.8") + frame("R.9")
	a := &audience{}
	if err := a.read(bufio.NewReader(strings.NewReader(stream))); !errors.Is(err, io.EOF) || a.begun.Load() != 1 || a.heard.Load() != 2 {
		t.Errorf("%d begun, %d revocations: %v", a.begun.Load(), a.heard.Load(), err)
	}
	for _, id := range []string{"R.11", "R.8", "R.x"} {
		if err := a.read(bufio.NewReader(strings.NewReader(stream + frame(id)))); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s after R.9: %v", id, err)
		}
	}
}
