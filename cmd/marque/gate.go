package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
)

func (a *app) gateCommand() *cobra.Command {
	var settings *settingFlags
	cmd := verb("gate", "Answer a proxy that asks whether a request may go on, until it is told to stop", func(cmd *cobra.Command, _ []string) error {
		c, err := configs.LoadGate(settings.options())
		if err != nil {
			return settings.explain(err)
		}
		return a.gate(cmd.Context(), c.Gate)
	})
	cmd.Long = "Protects a service in any language: nginx, HAProxy, Traefik or Envoy asks the gate about each request, and\n" +
		"the gate verifies the access token, by the issuer's keys and revocations. What a request needs stands in the\n" +
		"path that the proxy calls, such as /require/orders:read/-/ or, for nginx, /auth_request/orders:read/-/.\n\n" +
		"Its settings are its own: configs/gate.yaml, and variables that begin with MARQUE_GATE_."
	settings = a.gateSettings(cmd)
	return cmd
}

// gateSettings adds --config, and flags for settings of a gate.
func (a *app) gateSettings(cmd *cobra.Command) *settingFlags {
	f := &settingFlags{app: a, cmd: cmd}
	cmd.Flags().StringVar(&f.file, "config", "", "the gate's configuration file (YAML)")
	cmd.Flags().String("issuer", "", "the authorization server whose tokens are taken")
	cmd.Flags().String("audience", "", "the API behind the proxy")
	cmd.Flags().String("listen", "", "where proxies ask: host:port, or unix: and a path (default 127.0.0.1:9180)")
	cmd.Flags().Bool("insecure-http", false, "allow plain http: an issuer that is not https, listening beyond loopback")
	return f
}

// gate runs a gate until ctx ends or a listener fails.
func (a *app) gate(ctx context.Context, c configs.Gate) error {
	signal.Ignore(syscall.SIGPIPE) // who reads the log may go away; the gate stays
	log := newLog(a.stderr, c.Log)
	g, err := startGate(ctx, c, log)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		// See serve: whoever writes to a log whose reader stalls waits for it.
		last := time.AfterFunc(time.Duration(c.Shutdown.Grace)+forcedExit, func() { os.Exit(exitFailed) })
		defer last.Stop()
		log.Info("stopping", "grace", c.Shutdown.Grace.String())
	case err = <-g.failed:
	}
	return errors.Join(err, g.Close())
}

// checkGate reports what is wrong with a gate's configuration, and the file that it names.
func (a *app) checkGate(settings *settingFlags) error {
	c, err := configs.LoadGate(settings.options())
	if err != nil {
		return settings.explain(err)
	}
	if _, err := gateSecret(c.Gate); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "The configuration is valid.")
	return err
}
