package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what this binary is made of.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) text() string { return b.Version + " " + b.Go + " " + b.Platform }

func (a *app) versionCommand() *cobra.Command {
	var p *printer
	cmd := verb("version", "Say which version this is", func(*cobra.Command, []string) error {
		b := thisBuild()
		return p.print(b, func(w io.Writer) {
			fmt.Fprintln(w, "marque version", b.text()) // as --version has it
		})
	})
	p = a.printing(cmd)
	return cmd
}
