package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/configs"
)

func (a *app) serveCommand() *cobra.Command {
	var dev bool
	var settings *settingFlags
	cmd := verb("serve", "Run the server until it is told to stop", func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load(dev)
		if err != nil {
			return err
		}
		return a.serve(cmd.Context(), c.Config)
	})
	cmd.Flags().BoolVar(&dev, "dev", false, "try things out: no init, a sample resource and client, short windows; loopback only")
	settings = a.settings(cmd, "data", "kek-file", "store", "listen", "admin-listen", "issuer", "tls-cert", "tls-key", "insecure-http")
	return cmd
}

// forcedExit is how long after the grace a process that still runs is ended.
const forcedExit = 5 * time.Second

// serve runs a server until ctx ends or a listener fails.
func (a *app) serve(ctx context.Context, c configs.Config) error {
	signal.Ignore(syscall.SIGPIPE) // who reads the log may go away; the server stays
	defer makeRoom()()
	log := newLog(a.stderr, c.Log)
	s, err := start(ctx, c, options{log: log})
	if errors.Is(err, errStopped) {
		log.Info("stopped before the store was there")
		return nil
	}
	if err != nil {
		return err
	}
	if c.Dev {
		// The greeting does not judge by a request that a signal interrupted.
		if _, err := io.WriteString(a.stdout, s.samples(context.WithoutCancel(ctx))); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	select {
	case <-ctx.Done():
		// Whoever writes to a log whose reader stalls waits for it. The process must end all the same.
		last := time.AfterFunc(time.Duration(c.Shutdown.Grace)+forcedExit, func() { os.Exit(exitFailed) })
		defer last.Stop()
		s.log.Info("stopping", "grace", c.Shutdown.Grace.String())
		err = nil
	case err = <-s.failed:
	}
	return errors.Join(err, s.Close())
}

// settingFlags are the flags of a command that stand for settings.
type settingFlags struct {
	app  *app
	cmd  *cobra.Command
	file string
}

// flagSettings names the setting behind each such flag, and what the flag says of itself.
func flagSettings() map[string][2]string {
	return map[string][2]string{
		"data":          {"data", "the data folder (default $MARQUE_DATA, else $HOME/.marque)"},
		"issuer":        {"issuer", "the issuer identifier, an https URL"},
		"audience":      {"audience", "of a gate: the API behind the proxy"},
		"kek-file":      {"keys.kek_file", "the file with the key-encryption key"},
		"store":         {"store.driver", "the kind of store: bolt or redis"},
		"listen":        {"listen", "host:port of the public listener (default 127.0.0.1:8080)"},
		"admin-listen":  {"admin.listen", `host:port of the admin listener, "" for none (default 127.0.0.1:8081)`},
		"tls-cert":      {"tls.cert_file", "PEM file with the certificate and its chain"},
		"tls-key":       {"tls.key_file", "PEM file with the certificate's key"},
		"insecure-http": {"insecure_http", "allow plain http: an issuer that is not https, a listener beyond loopback"},
	}
}

// settings adds --config, and flags for settings, to a command.
func (a *app) settings(cmd *cobra.Command, flags ...string) *settingFlags {
	f := &settingFlags{app: a, cmd: cmd}
	cmd.Flags().StringVar(&f.file, "config", "", "the configuration file (YAML)")
	for _, name := range flags {
		if name == "insecure-http" {
			cmd.Flags().Bool(name, false, flagSettings()[name][1])
			continue
		}
		cmd.Flags().String(name, "", flagSettings()[name][1])
	}
	return f
}

// load returns the configuration with the flags that were given. If every mistake is in a flag, the
// command line is what is wrong.
func (f *settingFlags) load(dev bool) (*configs.Loaded, error) {
	o := f.options()
	o.Dev = dev
	c, err := configs.Load(o)
	return c, f.explain(err)
}

// options are the flags that were given.
func (f *settingFlags) options() configs.Options {
	o := configs.Options{File: f.file, Environ: f.app.environ, Flags: map[string]string{}}
	for name, setting := range flagSettings() {
		flag := f.cmd.Flags().Lookup(name)
		if flag == nil {
			continue
		}
		o.Flags[setting[0]] = "--" + name
		if !flag.Changed {
			continue
		}
		o.Overrides = append(o.Overrides, configs.Override{Path: setting[0], Flag: "--" + name, Values: []string{flag.Value.String()}})
	}
	return o
}

// explain says what is wrong with a configuration, all of it.
func (*settingFlags) explain(err error) error {
	var wrong *configs.Error
	if errors.As(err, &wrong) {
		return configError(wrong)
	}
	return err
}

func configError(wrong *configs.Error) error {
	message := wrong.Problems[0].String()
	if n := len(wrong.Problems); n > 1 {
		message = strconv.Itoa(n) + " things are wrong with the configuration:\n" + wrong.Error()
	}
	for _, p := range wrong.Problems {
		if !strings.HasPrefix(p.Source, "--") {
			return errors.New(message)
		}
	}
	return usagef("%s", message)
}
