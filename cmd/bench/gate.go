package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/marque-auth/marque/keys/jose"
)

// errNoNginx says what to type.
var errNoNginx = errors.New("nginx is missing: apt-get install nginx-light (Debian), brew install nginx (macOS)")

// measureGate measures nginx that asks a gate about each request, beside nginx that does not: one worker, in front of
// an API that is another nginx on the load's core. The configuration is the sample that is shipped.
func measureGate(ctx context.Context, l lab, r *report) error {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return errNoNginx
	}
	l.signed, l.plainHTTP = algorithms()[:1], true
	if err := l.prepare(ctx); err != nil {
		return err
	}
	server, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	if _, err := l.register(ctx); err != nil {
		return err
	}
	gate, err := l.startGate(ctx)
	if err != nil {
		return err
	}
	defer gate.stop()
	proxy, api, err := l.startProxy(ctx, nginx, gate.address)
	if err != nil {
		return err
	}
	defer api.stop()
	defer proxy.stop()
	return l.compareGate(ctx, server, proxy, gate, r)
}

// startGate starts a gate that follows the server's feed, on the server's core.
func (l *lab) startGate(ctx context.Context) (*process, error) {
	at, err := freeAddress()
	if err != nil {
		return nil, err
	}
	status, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(l.binary, "gate")
	cmd.Env = append(os.Environ(),
		"MARQUE_GATE_ISSUER=http://"+l.address, "MARQUE_GATE_INSECURE_HTTP=true", "MARQUE_GATE_AUDIENCE="+resourceOf(jose.ES256),
		"MARQUE_GATE_MODE=feed", "MARQUE_GATE_FEED_WHEN_SILENT=closed", "MARQUE_GATE_CLIENT_ID="+apiID, "MARQUE_GATE_CLIENT_SECRET="+l.apiSecret,
		"MARQUE_GATE_LISTEN="+at, "MARQUE_GATE_STATUS_LISTEN="+status)
	p, err := start(l.seats, l.dir, "gate", cmd)
	if err != nil {
		return nil, err
	}
	p.address = status
	if _, err := p.await(ctx, []byte("GET /readyz HTTP/1.1\r\nHost: gate\r\n\r\n")); err != nil {
		p.stop()
		return nil, err
	}
	p.address = at
	return p, nil
}

// startProxy starts nginx with the sample, and the API behind it.
func (l *lab) startProxy(ctx context.Context, nginx, gate string) (proxy, api *process, err error) {
	behind, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	beside := func(start func() error) error { return start() }
	if api, err = l.startNginx(ctx, beside, nginx, "api", behind, map[string]string{"nginx.conf": apiConf(behind)}); err != nil {
		return nil, nil, err
	}
	front, err := freeAddress()
	if err == nil {
		var files map[string]string
		if files, err = sampleConf(ctx, gate, behind, front); err == nil {
			proxy, err = l.startNginx(ctx, l.seats.atServer, nginx, "proxy", front, files)
		}
	}
	if err != nil {
		api.stop()
	}
	return proxy, api, err
}

// oneProcess has nginx run in the process that was started, so that its CPU time can be read.
const oneProcess = "daemon off; master_process off; pid nginx.pid; error_log stderr;\n"

// ownFolders keeps nginx out of the folders that are the system's.
const ownFolders = "access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;" +
	" scgi_temp_path scgi; keepalive_requests 1000000000;\n"

func apiConf(at string) string {
	return oneProcess + "events {}\nhttp {" + ownFolders + `server { listen ` + at + `; location / { return 200 "ok"; } } }`
}

// sampleConf returns the sample files with these addresses, and with /open/, which nobody protects.
func sampleConf(ctx context.Context, gate, api, front string) (map[string]string, error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Module.Dir}}", "github.com/marque-auth/marque/cmd/bench").Output()
	if err != nil {
		return nil, fmt.Errorf("find the samples: %w", err)
	}
	files := map[string]string{}
	for _, name := range []string{"nginx.conf", "marque-gate.conf", "marque-require.conf"} {
		b, err := os.ReadFile(filepath.Join(string(bytes.TrimSpace(module)), "configs", "nginx", name))
		if err != nil {
			return nil, err
		}
		files[name] = strings.NewReplacer(
			"worker_processes auto;", oneProcess, "http {", "http {"+ownFolders,
			"127.0.0.1:9180", gate, "127.0.0.1:9000", api, "127.0.0.1:8000", front,
			"include marque-gate.conf;", `include marque-gate.conf;
			location /open/ { proxy_pass http://orders; proxy_set_header Host $host; proxy_http_version 1.1; proxy_set_header Connection ""; }`,
			"keepalive 32;", "keepalive 32; keepalive_requests 1000000000;",
		).Replace(string(b))
	}
	return files, nil
}

func (l *lab) startNginx(ctx context.Context, at func(func() error) error, nginx, name, address string, files map[string]string) (*process, error) {
	dir := filepath.Join(l.dir, "nginx-"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	p, err := startAt(at, l.dir, name, exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr"))
	if err != nil {
		return nil, err
	}
	p.address = address
	if _, err := p.await(ctx, []byte("GET /open/ HTTP/1.1\r\nHost: api\r\n\r\n")); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// compareGate has the same tokens sent to both, again and again.
func (l *lab) compareGate(ctx context.Context, server, proxy, gate *process, r *report) error {
	tokens, err := l.fetchTokens(ctx, server, l.settings.evenly(l.settings.clients))
	if err != nil {
		return err
	}
	load, err := newLoad(ctx, proxy.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	var open, protected [][]byte
	for _, t := range tokens {
		rest := " HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer " + t.token + "\r\n\r\n"
		open = append(open, []byte("GET /open/orders"+rest))
		protected = append(protected, []byte("GET /orders"+rest))
	}
	pairs, err := l.settings.alternate(ctx,
		side{process: proxy, load: load, requests: open},
		side{process: proxy, load: load, requests: protected, helper: gate})
	if err != nil {
		return err
	}
	r.gate(pairs, len(tokens))
	return nil
}
