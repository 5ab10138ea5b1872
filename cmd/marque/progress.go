package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressPause is how often a person is told how far something is.
const progressPause = 200 * time.Millisecond

// progress tells a person at a terminal how much was written to it; nobody else is told.
type progress struct {
	to    io.Writer // nil: nobody looks
	verb  string
	total int64
	done  int64
	told  time.Time
}

func (a *app) progress(verb string, total int64) *progress {
	p := &progress{verb: verb, total: total}
	if f, ok := a.stderr.(*os.File); ok && isTerminal(f) {
		p.to = f
	}
	return p
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if now := time.Now(); p.to != nil && now.Sub(p.told) >= progressPause {
		p.told = now
		p.tell()
	}
	return len(b), nil
}

func (p *progress) tell() {
	if p.total > 0 {
		fmt.Fprintf(p.to, "\r%s %d of %d MiB (%d %%) ", p.verb, p.done>>20, p.total>>20, 100*p.done/p.total)
		return
	}
	fmt.Fprintf(p.to, "\r%s %d MiB ", p.verb, p.done>>20)
}

// end says the last of it, if anything was said.
func (p *progress) end() {
	if p.to != nil && !p.told.IsZero() {
		p.tell()
		fmt.Fprintln(p.to)
	}
}
