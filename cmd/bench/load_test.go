package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLoad_SendsEveryRequestEquallyOften(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		mu.Lock()
		seen[r.PostForm.Get("client_id")]++
		mu.Unlock()
		io.WriteString(w, `{"access_token":"x"}`)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	var requests [][]byte
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		requests = append(requests, tokenRequest(address, id, "secret", "https://r.example"))
	}
	l, err := newLoad(context.Background(), address, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	const rounds = 7
	n, err := l.run(context.Background(), requests, rounds*len(requests), time.Minute)
	if err != nil || n != rounds*len(requests) {
		t.Fatalf("answered %d, %v; want %d", n, err, rounds*len(requests))
	}
	for id, times := range seen {
		if times < rounds-2 || times > rounds+2 {
			t.Errorf("client %s asked %d times, want about %d", id, times, rounds)
		}
	}
}

func TestLoad_CountsNoRefusals(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	l, err := newLoad(context.Background(), address, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	n, err := l.run(context.Background(), [][]byte{tokenRequest(address, "a", "s", "r")}, 10, time.Minute)
	var status *statusError
	if n != 0 || !errors.As(err, &status) || !strings.Contains(status.line, "429") {
		t.Errorf("answered %d, %v; want none and the status line of 429", n, err)
	}
}

func TestSpread_Median(t *testing.T) {
	identity := func(f float64) float64 { return f }
	if got, want := spreadOf([]float64{9, 1, 5}, identity), (spread{5, 1, 9}); got != want {
		t.Errorf("odd: %v, want %v", got, want)
	}
	if got, want := spreadOf([]float64{4, 1, 2, 9}, identity), (spread{3, 1, 9}); got != want {
		t.Errorf("even: %v, want %v", got, want)
	}
}

func TestParseClock(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0:00.12":    120 * time.Millisecond,
		"1:02.50":    time.Minute + 2500*time.Millisecond,
		"01:00:01":   time.Hour + time.Second,
		"2-00:00:03": 48*time.Hour + 3*time.Second,
	} {
		got, err := parseClock(text)
		if diff := got - want; err != nil || diff < -time.Microsecond || diff > time.Microsecond {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "12", "a:b", "1:2:3:4", "-1:00"} {
		if got, err := parseClock(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}
