package redisstore

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wire stands between a client and a Redis, and knows what they say: it can lose an answer, keep a command to
// itself, or answer in the place of Redis.
type wire struct {
	addr     string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	target string
	does   map[string]func(args []string) step
	count  map[string]int
	conns  map[net.Conn]struct{}
}

// step is what becomes of one command.
type step struct {
	does  act
	reply string // of says
}

type act int

const (
	passes    act = iota
	swallows      // it reaches nobody, and is never answered
	cuts          // it reaches nobody, and the connection is closed
	loses         // it is carried out, and the connection is closed instead of the answer
	says          // it reaches nobody, and reply is the answer
	withholds     // it is carried out, and never answered
)

// newWire listens for clients of a Redis.
func newWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{
		addr: l.Addr().String(), target: target, listener: l,
		does: map[string]func([]string) step{}, count: map[string]int{}, conns: map[net.Conn]struct{}{},
	}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		w.running.Wait()
	})
	return w
}

// on says what becomes of a command, in lower case; nil lets it pass.
func (w *wire) on(command string, does func(args []string) step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.does[command] = does
}

func always(does act) func([]string) step { return func([]string) step { return step{does: does} } }

// seen is how often a command came.
func (w *wire) seen(command string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count[command]
}

// cut closes all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// leadTo cuts all connections; new ones lead to another Redis.
func (w *wire) leadTo(target string) {
	w.mu.Lock()
	w.target = target
	w.mu.Unlock()
	w.cut()
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.running.Go(func() {
			defer w.close(client)
			w.mu.Lock()
			target := w.target
			w.mu.Unlock()
			server, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer w.close(server)
			w.mu.Lock()
			w.conns[client], w.conns[server] = struct{}{}, struct{}{}
			w.mu.Unlock()
			w.talk(client, server)
		})
	}
}

func (w *wire) close(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
	_ = c.Close()
}

// talk carries one command after the other to the server, and its answer back.
func (w *wire) talk(client, server net.Conn) {
	from, back := bufio.NewReader(client), bufio.NewReader(server)
	for {
		args, err := command(from)
		if err != nil {
			return
		}
		s := w.step(args)
		answer := s.reply
		switch s.does {
		case swallows:
			_, _ = io.Copy(io.Discard, from)
			return
		case cuts:
			return
		case passes, loses, withholds:
			if _, err := io.WriteString(server, encode(args)); err != nil {
				return
			}
			if answer, err = reply(back); err != nil {
				return
			}
		}
		switch s.does {
		case loses:
			return
		case withholds:
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if _, err := io.WriteString(client, answer); err != nil {
			return
		}
	}
}

func (w *wire) step(args []string) step {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := strings.ToLower(args[0])
	w.count[name]++
	if does := w.does[name]; does != nil {
		return does(args)
	}
	return step{}
}

// allSlots is what CLUSTER SLOTS says if whoever listens here serves all.
func (w *wire) allSlots() string {
	host, port := split(w.addr)
	return fmt.Sprintf("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$%d\r\n%s\r\n:%s\r\n$4\r\nnode\r\n", len(host), host, port)
}

// command reads what a client says: an array of strings.
func command(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("not a command: %q", line)
	}
	args := make([]string, n)
	for i := range args {
		text, err := reply(r)
		if err != nil {
			return nil, err
		}
		_, rest, _ := strings.Cut(text, "\r\n")
		args[i] = strings.TrimSuffix(rest, "\r\n")
	}
	return args, nil
}

func encode(args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// reply reads one answer of RESP3, whole.
func reply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return line + string(text), err
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return line, nil
	}
	var whole strings.Builder
	whole.WriteString(line)
	for range n {
		part, err := reply(r)
		if err != nil {
			return "", err
		}
		whole.WriteString(part)
	}
	return whole.String(), nil
}
