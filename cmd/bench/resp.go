package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// redisTimeout bounds how long Redis may take for what was sent, a batch of the filling included.
const redisTimeout = 30 * time.Second

// wire speaks to Redis in its protocol, RESP2: the few commands of this program need no library. It is not
// safe for concurrent use.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

// redisError is what Redis answered instead of a value.
type redisError string

func (e redisError) Error() string { return "redis: " + string(e) }

// dialRedis connects and authenticates.
func dialRedis(ctx context.Context, address, password string) (*wire, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	w := &wire{conn, bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)}
	if _, err := w.do("AUTH", password); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

func (w *wire) close() error { return w.conn.Close() }

// do sends one command and returns its answer: a string, an int64, nil or a []any of those.
func (w *wire) do(args ...string) (any, error) {
	w.send(args...)
	if err := w.flush(); err != nil {
		return nil, err
	}
	return w.receive()
}

// text is do for a command that answers with a string.
func (w *wire) text(args ...string) (string, error) {
	said, err := w.do(args...)
	if err != nil {
		return "", err
	}
	s, ok := said.(string)
	if !ok {
		return "", fmt.Errorf("redis answers %s with %T", args[0], said)
	}
	return s, nil
}

// send writes a command into the buffer. Its error comes with the flush.
func (w *wire) send(args ...string) {
	fmt.Fprintf(w.out, "*%d\r\n", len(args))
	for _, arg := range args {
		w.out.WriteByte('$')
		w.out.WriteString(strconv.Itoa(len(arg)))
		w.out.WriteString("\r\n")
		w.out.WriteString(arg)
		w.out.WriteString("\r\n")
	}
}

func (w *wire) flush() error {
	if err := w.conn.SetDeadline(time.Now().Add(redisTimeout)); err != nil {
		return err
	}
	return w.out.Flush()
}

// receive reads the answer to the earliest command that has none yet.
func (w *wire) receive() (any, error) {
	line, err := w.line()
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], line[1:]
	if kind == '+' {
		return rest, nil
	}
	if kind == '-' {
		return nil, redisError(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("redis answers %q", line)
	case kind == ':':
		return n, nil
	case kind == '$' && n >= 0:
		return w.octets(n)
	case kind == '*' && n >= 0:
		return w.list(n)
	case kind == '$', kind == '*':
		return nil, nil // an absence
	}
	return nil, fmt.Errorf("redis answers %q", line)
}

// line reads one, which is not empty, without its end.
func (w *wire) line() (string, error) {
	line, err := w.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return "", fmt.Errorf("redis answers %q", line)
	}
	return line[:len(line)-2], nil
}

func (w *wire) octets(n int64) (string, error) {
	b := make([]byte, n+2)
	if _, err := io.ReadFull(w.in, b); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

func (w *wire) list(n int64) ([]any, error) {
	all := make([]any, n)
	for i := range all {
		var err error
		if all[i], err = w.receive(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
