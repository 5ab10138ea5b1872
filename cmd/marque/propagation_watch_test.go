//go:build linux || darwin

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// judge is a service, here or elsewhere.
type judge interface {
	judge(ctx context.Context, compact string) verdict
}

// attentive is a service, and when it came to know what.
type attentive struct {
	judge
	p *spread

	mu          sync.Mutex
	known       []bool // by act
	unknown     int    // acts before this one are known
	steady, cut delays // it had a stream at the time of the 200, or not
}

var events eventReader // of all services in this process

// hear takes a step. What it vouches for, it must have said.
func (w *attentive) hear(s step) {
	p := w.p
	p.registered.RLock()
	acts := p.acts
	var ids []int
	for _, subject := range s.Subjects {
		if i, ok := p.bySubject[subject]; ok {
			ids = append(ids, i)
		}
	}
	p.registered.RUnlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range ids {
		if w.known[i] {
			continue
		}
		w.known[i] = true
		acts[i].left.Add(-1)
		answered := acts[i].answered.Load()
		late := time.Duration(0)
		if answered != 0 && s.At.UnixNano() > answered {
			late = time.Duration(s.At.UnixNano() - answered)
		} else {
			p.early.Add(1)
		}
		if answered == 0 || s.Since.UnixNano() < answered {
			w.steady = append(w.steady, late)
			p.slow(late, acts[i], s)
		} else {
			w.cut = append(w.cut, late)
		}
	}
	for w.unknown < len(acts) && w.known[w.unknown] {
		w.unknown++
	}
	if s.AsOf.IsZero() {
		return
	}
	for i := w.unknown; i < len(acts); i++ {
		const clocks = 100 * time.Millisecond // servers read the store's clock over a connection
		if a := acts[i]; !w.known[i] && a.answered.Load() != 0 && s.AsOf.UnixNano() > a.answered.Load()+int64(clocks) {
			p.broken("SET-14: a service was told that it knows everything until %v, and not of %s, revoked at %v", s.AsOf, a.subject, time.Unix(0, a.answered.Load()))
		}
	}
}

// child is a service in a process of its own.
type child struct {
	process *exec.Cmd
	in      io.WriteCloser
	ready   chan struct{}
	ended   chan struct{} // nothing more is to be read

	mu      sync.Mutex
	ask     *json.Encoder
	answers []chan verdict // by asked.ID
}

func startChild(t *testing.T, w *attentive, c followerConfig) *child {
	t.Helper()
	c.Remember = 0
	k := &child{process: exec.CommandContext(t.Context(), followerName), ready: make(chan struct{}), ended: make(chan struct{})}
	k.process.Stderr = os.Stderr
	var err error
	if k.in, err = k.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := k.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for a test that fails before it has ended it
		_ = k.process.Process.Kill()
		_ = k.process.Wait()
	})
	w.judge, k.ask = k, json.NewEncoder(k.in)
	if err := k.ask.Encode(c); err != nil {
		t.Fatal(err)
	}
	go k.listen(w, json.NewDecoder(bufio.NewReader(out)))
	return k
}

func (k *child) listen(w *attentive, lines *json.Decoder) {
	defer close(k.ended)
	for {
		var line told
		if err := lines.Decode(&line); err != nil {
			return
		}
		switch {
		case line.Ready:
			close(k.ready)
		case line.Step != nil:
			w.hear(*line.Step)
		case line.Verdict != nil:
			k.mu.Lock()
			k.answers[line.Verdict.ID] <- line.Verdict.Verdict
			k.mu.Unlock()
		}
	}
}

func (k *child) judge(_ context.Context, compact string) verdict {
	k.mu.Lock()
	answer := make(chan verdict, 1)
	k.answers = append(k.answers, answer)
	err := k.ask.Encode(question{ID: len(k.answers) - 1, Compact: compact})
	k.mu.Unlock()
	if err != nil {
		return unknown
	}
	select {
	case v := <-answer:
		return v
	case <-k.ended:
		return unknown
	}
}
