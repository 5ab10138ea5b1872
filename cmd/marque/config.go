package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Check and show the configuration", a.configCheck(), a.configPrint())
}

func (a *app) configCheck() *cobra.Command {
	var settings *settingFlags
	var gate bool
	cmd := verb("check", "Report everything that is wrong with the configuration, and the files that it names", func(*cobra.Command, []string) error {
		if gate {
			return a.checkGate(settings)
		}
		c, err := settings.load(false)
		if err != nil {
			return err
		}
		if err := a.checkKeyFiles(c.Config); err != nil {
			return err
		}
		if c.TLS.CertFile != "" {
			if _, err := readCertificate(c.Config); err != nil {
				return err
			}
		}
		if _, err := redisConfig(c.Config); err != nil {
			return err
		}
		if err := checkTimeline(c.Config); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, "The configuration is valid.")
		return err
	})
	settings = a.settings(cmd)
	forGate(cmd, &gate)
	return cmd
}

// checkKeyFiles reads the key-encryption keys that are named. That none is named is no mistake of the
// configuration: the flag or variable of whoever starts the server may name it.
func (a *app) checkKeyFiles(c configs.Config) error {
	if c.Keys.KEKFile == "" && c.Keys.KEK.IsZero() {
		a.note("No key-encryption key is named here. To serve, one is needed: keys.kek_file, %s, or serve's --kek-file.", configs.VariableKEK)
		_, err := readPreviousKEKs(c)
		return err
	}
	_, err := readKEKs(c)
	return err
}

func (a *app) configPrint() *cobra.Command {
	var settings *settingFlags
	var p *printer
	var gate bool
	cmd := verb("print", "Show every setting, and where its value comes from", func(*cobra.Command, []string) error {
		c, err := settings.loadFor(gate)
		if err != nil {
			return err
		}
		var yaml strings.Builder
		if err := c.WriteYAML(&yaml); err != nil {
			return err
		}
		return p.print(c.JSON(), func(w io.Writer) { _, _ = io.WriteString(w, yaml.String()) })
	})
	cmd.Long = "Shows every setting with its value, and beside it where the value comes from: the line of the\n" +
		"file, the variable, or default. With --json, the values alone."
	settings, p = a.settings(cmd), a.printing(cmd)
	forGate(cmd, &gate)
	return cmd
}

func forGate(cmd *cobra.Command, gate *bool) {
	cmd.Flags().BoolVar(gate, "gate", false, "the configuration of marque gate, not of the server")
}

// shown is a configuration as config print shows it.
type shown interface {
	WriteYAML(to io.Writer) error
	JSON() map[string]any
}

func (f *settingFlags) loadFor(gate bool) (shown, error) {
	if !gate {
		return f.load(false)
	}
	c, err := configs.LoadGate(f.options())
	return c, f.explain(err)
}
