package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
)

// narrator tells a story in a terminal: chapters, what was sent, what came back, what was checked.
// It uses colours only where a person watches.
type narrator struct {
	out     io.Writer
	colours bool
	step    int
	checks  int
}

func newNarrator(out io.Writer, environ []string) *narrator {
	n := &narrator{out: out}
	if f, ok := out.(*os.File); ok {
		n.colours = isTerminal(f)
	}
	for _, v := range environ { // no-color.org, and terminals that have none
		if name, value, _ := strings.Cut(v, "="); name == "NO_COLOR" && value != "" || v == "TERM=dumb" {
			n.colours = false
		}
	}
	return n
}

// The colours of a terminal, by their SGR numbers.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (n *narrator) paint(colour, s string) string {
	if !n.colours {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (n *narrator) line(format string, args ...any) { fmt.Fprintf(n.out, format+"\n", args...) }

// chapter begins a step of the story.
func (n *narrator) chapter(title, how string) {
	n.step++
	n.line("\n%s\n   %s", n.paint(bold, fmt.Sprintf("%d. %s", n.step, title)), n.paint(dim, how))
}

// section begins a part of a step.
func (n *narrator) section(title string) { n.line("\n   %s", n.paint(bold, title)) }

// fact notes something that is good to know.
func (n *narrator) fact(name, value string) { n.line("   %s  %s", n.paint(dim, name), clean(value)) }

// command shows a command line as a user would type it.
func (n *narrator) command(name string, args ...string) {
	words := []string{name}
	for _, a := range args {
		words = append(words, shellWord(a))
	}
	n.line("\n   %s", n.paint(cyan, "$ "+strings.Join(words, " ")))
}

func (n *narrator) output(s string) {
	for l := range strings.Lines(cleanLines(strings.TrimRight(s, "\n"))) {
		n.line("   %s", strings.TrimRight(l, "\n"))
	}
}

// document shows a document under a title.
func (n *narrator) document(title, text string) {
	n.line("\n   %s", n.paint(dim, title))
	n.output(text)
}

// card shows a card, as the command that owns it prints it.
func (n *narrator) card(print func(io.Writer)) {
	var b strings.Builder
	print(&b)
	n.output(b.String())
}

// request shows a request: its first line, the header fields of these names, and the body.
func (n *narrator) request(r *http.Request, fields []string, body string) {
	n.line("\n   %s", n.paint(cyan, "→ "+r.Method+" "+r.URL.String()))
	n.message(r.Header, fields, body)
}

func (n *narrator) response(r *http.Response, fields []string, body string) {
	n.line("   %s", n.paint(cyan, "← "+r.Status))
	n.message(r.Header, fields, body)
}

func (n *narrator) message(h http.Header, fields []string, body string) {
	for _, name := range fields {
		for _, v := range h.Values(name) {
			n.line("     %s", clean(name+": "+shorten(v)))
		}
	}
	if body = strings.TrimSpace(body); body != "" {
		n.line("     %s", shorten(clean(body)))
	}
}

// longWord is what a reader would not read: a token, a secret in Basic.
var longWord = regexp.MustCompile(`[A-Za-z0-9_.+/=-]{60,}`)

func shorten(s string) string {
	return longWord.ReplaceAllStringFunc(s, func(w string) string {
		return fmt.Sprintf("%s…%s (%d characters)", w[:16], w[len(w)-6:], len(w))
	})
}

// check tells an outcome. One that did not hold ends the story.
func (n *narrator) check(what string, held bool, format string, args ...any) error {
	if !held {
		n.line("   %s", n.paint(red, "✗ "+what))
		return fmt.Errorf("not so: %s: "+format, append([]any{what}, args...)...)
	}
	n.checks++
	n.line("   %s", n.paint(green, "✓ "+what))
	return nil
}

func (n *narrator) end() {
	n.line("\n%s\n", n.paint(bold, fmt.Sprintf("The story held: %d steps, %d outcomes checked.", n.step, n.checks)))
}
