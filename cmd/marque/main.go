// Command marque is an OAuth 2.0 authorization server for machines, and the tool to run it with.
//
// main.go parses and exits; wire.go and its siblings are the only code that knows every package; one
// file for each noun of the command line holds its verbs. README.md says what the commands promise.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes that scripts rely on.
const (
	exitDone   = 0
	exitFailed = 1 // refused, or failed
	exitUsage  = 2 // the command line itself is wrong
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored, and so it stays
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := (&app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}).run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// app is what a command may touch of the world outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
}
