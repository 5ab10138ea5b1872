package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Check and show the configuration", a.configCheck(), a.configPrint())
}

func (a *app) configCheck() *cobra.Command {
	var settings *settingFlags
	cmd := verb("check", "Report everything that is wrong with the configuration, and the files that it names", func(*cobra.Command, []string) error {
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		if _, err := readKEKs(c.Config); err != nil {
			return err
		}
		if c.TLS.CertFile != "" {
			if _, err := readCertificate(c.Config); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintln(a.stdout, "The configuration is valid.")
		return err
	})
	settings = a.settings(cmd)
	return cmd
}

func (a *app) configPrint() *cobra.Command {
	var settings *settingFlags
	var p *printer
	cmd := verb("print", "Show every setting, and where its value comes from", func(*cobra.Command, []string) error {
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		var yaml strings.Builder
		if err := c.WriteYAML(&yaml); err != nil {
			return err
		}
		return p.print(c.JSON(), func(w io.Writer) { _, _ = io.WriteString(w, yaml.String()) })
	})
	settings, p = a.settings(cmd), a.printing(cmd)
	return cmd
}
