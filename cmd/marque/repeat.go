package main

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// Limits of repetition.
const (
	maxAttempts   = 4
	longestPause  = 10 * time.Second // of a Retry-After that is waited for: after a revocation on a shared store it may be 6
	defaultPause  = 200 * time.Millisecond
	maxDiscarding = 64 << 10 // bytes of an answer that is thrown away
)

// repeating sends a request again when the server says that it may have happened (503), that it came
// too often (429), or nothing at all. Every operation of the management API can be repeated: what
// creates something carries an Idempotency-Key.
type repeating struct{ next client.HttpRequestDoer }

// Do implements client.HttpRequestDoer.
func (d *repeating) Do(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := d.next.Do(r)
		pause, again := pauseAfter(resp, err)
		if !again || attempt == maxAttempts || r.Context().Err() != nil {
			return resp, err
		}
		if r.Body != nil {
			if r.GetBody == nil {
				return resp, err
			}
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, maxDiscarding)
			resp.Body.Close()
		}
		wait := time.NewTimer(pause)
		select {
		case <-r.Context().Done():
			wait.Stop()
			return nil, r.Context().Err()
		case <-wait.C:
		}
	}
}

// pauseAfter says whether an outcome asks for another attempt, and after how long.
func pauseAfter(resp *http.Response, err error) (time.Duration, bool) {
	if err != nil {
		return defaultPause, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	}
	if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return defaultPause, true
	}
	pause := time.Duration(n) * time.Second
	return pause, pause <= longestPause
}
