package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// lab is where the measurements happen: a data folder with one installation, which the server's
// processes open one after the other.
type lab struct {
	settings settings
	seats    seats
	binary   string
	dir      string
	env      []string         // settings of its servers
	signed   []jose.Algorithm // what the tokens of its resources are signed with

	plainHTTP bool // the issuer is where the servers listen, for those who look there

	address  string                      // of every server's public listener
	requests map[jose.Algorithm][][]byte // one of each client
	secret   string                      // in the first request of every algorithm

	secrets   []string // one of each client
	apiSecret string
}

// algorithms are measured in this order.
func algorithms() []jose.Algorithm {
	return []jose.Algorithm{jose.ES256, jose.RS256, jose.Ed25519}
}

// resourceOf names the resource whose tokens are signed by an algorithm. The names are equally long.
func resourceOf(a jose.Algorithm) string {
	return fmt.Sprintf("https://%.5s.fulfilment.example", strings.ToLower(string(a)))
}

const scope = "orders:read orders:write"

// startTimeout bounds how long a process may take until it answers. The first key of a store that
// servers share waits for 15 s before it signs.
const startTimeout = 40 * time.Second

func (l *lab) data() string { return filepath.Join(l.dir, "data") }
func (l *lab) kek() string  { return filepath.Join(l.dir, "kek") }

// prepare makes the installation and chooses the address that its servers listen on.
func (l *lab) prepare(ctx context.Context) error {
	var err error
	if l.address, err = freeAddress(); err != nil {
		return err
	}
	issuer := "https://as.example"
	if l.plainHTTP {
		issuer = "http://" + l.address
		l.env = append(l.env, "MARQUE_INSECURE_HTTP=true")
	}
	cmd := exec.CommandContext(ctx, l.binary, "init",
		"--data", l.data(), "--issuer", issuer, "--kek-file", l.kek())
	cmd.Env = append(os.Environ(), l.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("marque init: %w\n%s", err, out)
	}
	return nil
}

// freeAddress returns an address of loopback that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// serveOn is serve with a data folder of the lab's own and a key-encryption key from elsewhere.
func (l *lab) serveOn(ctx context.Context, kek string) (*process, error) {
	if err := os.MkdirAll(l.data(), 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(l.dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Link(kek, l.kek()); err != nil {
		return nil, err
	}
	return l.serve(ctx)
}

// launch starts a server on the installation and does not wait for it.
func (l *lab) launch() (*process, error) {
	cmd := exec.Command(l.binary, "serve",
		"--data", l.data(), "--kek-file", l.kek(), "--listen", l.address, "--admin-listen", "")
	cmd.Env = append(os.Environ(), l.env...)
	p, err := start(l.seats, l.dir, "marque", cmd)
	if err != nil {
		return nil, err
	}
	p.address = l.address
	return p, nil
}

// serve starts a server and waits until it is ready to issue tokens.
func (l *lab) serve(ctx context.Context) (*process, error) {
	p, err := l.launch()
	if err != nil {
		return nil, err
	}
	ready := []byte("GET /readyz HTTP/1.1\r\nHost: " + l.address + "\r\n\r\n")
	if _, err := p.await(ctx, ready); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// await sends a request until the answer is 200, and returns when it came. A server that does not
// listen yet, or says 503, is asked again; any other answer is an error.
func (p *process) await(ctx context.Context, request []byte) (time.Time, error) {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.try(ctx, request)
		if err == nil {
			return time.Now(), nil
		}
		var status *statusError
		if errors.As(err, &status) && !strings.Contains(status.line, " 503 ") {
			return time.Time{}, err
		}
		select {
		case <-time.After(500 * time.Microsecond):
		case <-p.ended:
			return time.Time{}, p.failure(err)
		case <-ctx.Done():
			if whole.Err() != nil { // the run was called off
				return time.Time{}, whole.Err()
			}
			return time.Time{}, fmt.Errorf("no answer in %s: %w", startTimeout, err)
		}
	}
}

func (p *process) try(ctx context.Context, request []byte) error {
	c, err := dial(ctx, p.address)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.exchange(request, false)
	return err
}

// startFloor starts the floor, whose tokens are as long as those of the server.
func (l *lab) startFloor(ctx context.Context, server *process) (*process, error) {
	digest := sha256.Sum256([]byte(l.secret))
	config := floorConfig{Digest: digest[:], Tokens: map[string]floorSample{}}
	for _, a := range algorithms() {
		sample, err := l.sample(ctx, server, a)
		if err != nil {
			return nil, err
		}
		config.Tokens[resourceOf(a)] = sample
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, floorCommand)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := start(l.seats, l.dir, "floor", cmd)
	if err != nil {
		return nil, err
	}
	err = json.NewEncoder(in).Encode(config)
	if err == nil {
		p.address, err = bufio.NewReader(out).ReadString('\n')
		p.address = strings.TrimSpace(p.address)
	}
	if err != nil {
		p.stop()
		return nil, p.failure(err)
	}
	return p, nil
}
