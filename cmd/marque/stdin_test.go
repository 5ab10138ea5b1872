package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// TestWaitingForATokenEndsWithItsContext: Ctrl-C ends a command that waits for stdin.
func TestWaitingForATokenEndsWithItsContext(t *testing.T) {
	for _, args := range [][]string{
		{"token", "inspect"},
		{"token", "verify", "--issuer", "https://as.example", "--audience", "https://a.example"},
	} {
		stdin, writer := io.Pipe()
		defer writer.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		a := &app{stdin: &tellingReader{stdin, cancel}, stdout: &out, stderr: &errs}
		if code := a.run(ctx, args); code != exitFailed || out.Len() > 0 || !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("%v: exit code %d, %q", args, code, errs.String())
		}
	}
}

// tellingReader calls reading before the first Read.
type tellingReader struct {
	io.Reader
	reading func()
}

func (r *tellingReader) Read(p []byte) (int, error) {
	r.reading()
	return r.Reader.Read(p)
}

func TestTokenIn(t *testing.T) {
	for text, want := range map[string]string{
		"a.b.c": "a.b.c", " a.b.c \r\n": "a.b.c", "Bearer a.b.c\n": "a.b.c", "bEARER  a.b.c": "a.b.c", "Basic a": "Basic a",
		"": "", " \n": "", "Bearer ": "Bearer",
	} {
		got, err := tokenIn([]byte(text))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := tokenIn(make([]byte, maxTokenInput+1)); err == nil {
		t.Error("a token of any size was taken")
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{"": "", "\n\n": "", "a": "a", "a\nb\n": "a\n", "\n \na\n": "a\n"} {
		if got, err := firstLine(strings.NewReader(text)); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
