package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// printer writes what a command found: one JSON value with --json, otherwise what people read.
type printer struct {
	out  io.Writer
	json bool
}

// printing adds --json to a command and returns the printer that obeys it.
func (a *app) printing(cmd *cobra.Command) *printer {
	p := &printer{out: a.stdout}
	cmd.Flags().BoolVar(&p.json, "json", false, "write one JSON value to stdout, and everything else to stderr")
	return p
}

// print writes v as JSON, or calls human.
func (p *printer) print(v any, human func(io.Writer)) error {
	if !p.json {
		var b strings.Builder
		human(&b)
		_, err := io.WriteString(p.out, b.String())
		return err
	}
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows under a header, in aligned columns.
func table(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(header, "\t")))
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

// card writes pairs of name and value, one a line. Pairs without a value are left out.
func card(w io.Writer, pairs ...string) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", pairs[i], clean(pairs[i+1]))
		}
	}
	t.Flush()
}

func cell(s string) string {
	if s == "" {
		return "-"
	}
	return clean(s)
}

// clean keeps a value from steering the terminal or breaking a table: what it holds may have been
// written by someone else.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return '\ufffd'
		}
		return r
	}, s)
}

// seconds writes a lifetime as people do.
func seconds(n *int64) string {
	if n == nil {
		return ""
	}
	return shortDuration(time.Duration(*n) * time.Second)
}

// shortDuration writes 10m rather than 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func instant(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// epoch writes seconds since 1970 as a time; 0 is never.
func epoch(n int64) string {
	if n == 0 {
		return "never"
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// note tells the person at the terminal something that is not part of the data.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
