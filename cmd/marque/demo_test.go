package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

func TestDemo_TheWholeStoryHolds(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	if code := a.run(t.Context(), []string{"demo"}); code != exitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, errs.String(), out.String())
	}
	for _, want := range []string{
		"1. A server starts", "4. The API verifies tokens by itself", "The story held: 4 steps, 14 outcomes checked.",
		"→ POST http://127.0.0.1:", "← 401 Unauthorized", "WWW-Authenticate: Bearer", `"aud": "` + demoAPI + `"`,
		"the API's log says  signature", "the API's log says  audience", "the API's log says  expired",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours where nobody watches")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemo_AnOutcomeThatDoesNotHoldEndsIt(t *testing.T) {
	var out bytes.Buffer
	n := newNarrator(&out, nil)
	if err := n.check("the moon is cheese", false, "it is %s", "rock"); err == nil || !strings.Contains(err.Error(), "it is rock") || n.checks != 0 {
		t.Errorf("got %v, %d checks", err, n.checks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
	if code := a.run(ctx, []string{"demo"}); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
}
