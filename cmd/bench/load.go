package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// requestTimeout bounds how long one answer may take to come.
const requestTimeout = 10 * time.Second

// load is a lean HTTP/1.1 client: it sends requests that were made before, and reads of an answer
// only its status and its length, so that the server's core is the one that is busy. Connections are
// kept between runs. It is not safe for concurrent use.
type load struct {
	connections []*connection
}

type connection struct {
	net.Conn
	in *bufio.Reader
}

func dial(ctx context.Context, address string) (*connection, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

func newLoad(ctx context.Context, address string, connections int) (*load, error) {
	l := &load{}
	for range connections {
		c, err := dial(ctx, address)
		if err != nil {
			l.close()
			return nil, err
		}
		l.connections = append(l.connections, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.connections {
		c.Close()
	}
}

// run sends requests, over and over, on every connection until most were answered or d is over, and
// returns how many were. Connection i of n starts at the i-th n-th of requests, so that all of them
// are sent equally often.
func (l *load) run(ctx context.Context, requests [][]byte, most int, d time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	n := len(l.connections)
	type result struct {
		answered int
		err      error
	}
	results := make(chan result, n)
	for i, c := range l.connections {
		share := most / n
		if i < most%n {
			share++
		}
		go func() {
			answered, err := c.loop(ctx, requests, i*len(requests)/n, share)
			results <- result{answered, err}
		}()
	}
	total := 0
	var errs []error
	for range n {
		r := <-results
		total += r.answered
		errs = append(errs, r.err)
	}
	return total, errors.Join(errs...)
}

// timed is run without a bound but d that returns how long each answer took.
func (l *load) timed(ctx context.Context, requests [][]byte, d time.Duration) (times, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	n := len(l.connections)
	type result struct {
		took times
		err  error
	}
	results := make(chan result, n)
	for i, c := range l.connections {
		go func() {
			var r result
			for j := i * len(requests) / n; ctx.Err() == nil && r.err == nil; j++ {
				began := time.Now()
				_, r.err = c.exchange(requests[j%len(requests)], false)
				r.took = append(r.took, time.Since(began))
			}
			results <- r
		}()
	}
	var all times
	var errs []error
	for range n {
		r := <-results
		all = append(all, r.took...)
		errs = append(errs, r.err)
	}
	return all, errors.Join(errs...)
}

// loop sends at most most requests, beginning with requests[from], until ctx ends.
func (c *connection) loop(ctx context.Context, requests [][]byte, from, most int) (int, error) {
	for i := range most {
		if ctx.Err() != nil {
			return i, nil
		}
		if _, err := c.exchange(requests[(from+i)%len(requests)], false); err != nil {
			return i, err
		}
	}
	return most, nil
}

// statusError says that the answer was neither 200 nor 304.
type statusError struct{ line string }

func (e *statusError) Error() string { return "the answer was " + strconv.Quote(e.line) }

// exchange sends one request and reads its answer to the end. It returns the body only if it is
// wanted; an answer other than 200 and 304 is a *statusError.
func (c *connection) exchange(request []byte, wanted bool) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, length, err := c.head()
	if err != nil {
		return nil, err
	}
	var body []byte
	if wanted {
		body = make([]byte, length)
		_, err = io.ReadFull(c.in, body)
	} else {
		_, err = c.in.Discard(length)
	}
	if err == nil && status != "" {
		err = &statusError{status}
	}
	return body, err
}

// head reads to the end of the header fields. status is empty for 200 and 304, else the status line.
func (c *connection) head() (status string, length int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return "", 0, err
	}
	length = -1
	switch {
	case bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
	case bytes.HasPrefix(line, []byte("HTTP/1.1 304 ")):
		length = 0 // it has no body, whatever else it says (RFC 9112, Section 6.3)
	default:
		status = string(bytes.TrimSpace(line))
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return "", 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, ok := cutFold(line, "content-length:"); ok && length < 0 {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", 0, err
			}
		}
	}
	if length < 0 {
		return "", 0, errors.New("an answer without Content-Length")
	}
	return status, length, nil
}

// cutFold cuts a prefix whatever its case.
func cutFold(line []byte, prefix string) ([]byte, bool) {
	if len(line) < len(prefix) || !bytes.EqualFold(line[:len(prefix)], []byte(prefix)) {
		return nil, false
	}
	return line[len(prefix):], true
}
