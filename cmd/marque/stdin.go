package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxTokenInput bounds what is read as a token, in bytes.
const maxTokenInput = 64 << 10

// readToken reads one token from stdin; white space around it is dropped, and a "Bearer" before it, as
// it is copied from an Authorization field. From a terminal it reads one line.
func (a *app) readToken(ctx context.Context) (string, error) {
	read := io.ReadAll
	if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
		a.note("Reading a token from the terminal; end it with Enter.")
		read = firstLine
	}
	text, err := a.within(ctx, "a token", read, maxTokenInput)
	if err != nil {
		return "", err
	}
	return tokenIn(text)
}

// within reads stdin, at most one byte more than most. It ends with ctx: the reader that still waits
// then ends with the process.
func (a *app) within(ctx context.Context, what string, read func(io.Reader) ([]byte, error), most int64) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		b, err := read(io.LimitReader(a.stdin, most+1))
		done <- result{b, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("interrupted before %s came on stdin", what)
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("read %s from stdin: %w", what, r.err)
		}
		return r.text, nil
	}
}

func tokenIn(text []byte) (string, error) {
	token := strings.TrimSpace(string(text))
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	switch {
	case len(text) > maxTokenInput:
		return "", fmt.Errorf("what came on stdin is no token: it is larger than %d bytes", maxTokenInput)
	case token == "":
		return "", errors.New(`no token came on stdin; give it so: <<<"$TOKEN"`)
	}
	return token, nil
}

// firstLine reads the first line that is not blank.
func firstLine(r io.Reader) ([]byte, error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 || errors.Is(err, io.EOF) {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
