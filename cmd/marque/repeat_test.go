package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/client"
)

// scripted answers one call after another, and remembers what it was sent.
type scripted struct {
	answers []func() (*http.Response, error)
	bodies  []string
}

func (s *scripted) Do(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	answer := s.answers[min(len(s.bodies), len(s.answers)-1)]
	s.bodies = append(s.bodies, string(b))
	return answer()
}

func answer(status int, retryAfter string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retryAfter}}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	}
}

func fault(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

func TestRepeating(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []func() (*http.Response, error)
		calls   int
		status  int // 0: an error
	}{
		{"done", []func() (*http.Response, error){answer(201, "")}, 1, 201},
		{"refused", []func() (*http.Response, error){answer(400, "0")}, 1, 400},
		{"a fault is no invitation", []func() (*http.Response, error){answer(500, "0")}, 1, 500},
		{"unavailable", []func() (*http.Response, error){answer(503, "0"), answer(503, "0"), answer(200, "")}, 3, 200},
		{"too often", []func() (*http.Response, error){answer(429, "0"), answer(200, "")}, 2, 200},
		{"for ever", []func() (*http.Response, error){answer(503, "0")}, maxAttempts, 503},
		{"too long", []func() (*http.Response, error){answer(503, "11")}, 1, 503},
		{"cut off", []func() (*http.Response, error){fault(io.EOF), answer(200, "")}, 2, 200},
		{"not running", []func() (*http.Response, error){fault(syscall.ECONNREFUSED)}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &scripted{answers: c.answers}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&repeating{s}).Do(r)
			status := 0
			if err == nil {
				status = resp.StatusCode
				resp.Body.Close()
			}
			if status != c.status || len(s.bodies) != c.calls {
				t.Errorf("status %d after %d calls, want %d after %d (%v)", status, len(s.bodies), c.status, c.calls, err)
			}
			for _, b := range s.bodies {
				if b != "body" {
					t.Errorf("sent %q", b)
				}
			}
		})
	}
}

func TestRepeatingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &scripted{answers: []func() (*http.Response, error){func() (*http.Response, error) {
		cancel()
		return answer(503, "5")()
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&repeating{s}).Do(r)
	if err == nil {
		resp.Body.Close()
	}
	if len(s.bodies) != 1 {
		t.Errorf("%d calls", len(s.bodies))
	}
}

// losing drops the first answer after the server has acted.
type losing struct {
	next client.HttpRequestDoer
	lost bool
}

func (l *losing) Do(r *http.Request) (*http.Response, error) {
	resp, err := l.next.Do(r)
	if err != nil || l.lost {
		return resp, err
	}
	l.lost = true
	resp.Body.Close()
	return nil, io.EOF
}

// TestLostAnswerCreatesOnce: a client whose first answer is lost is registered once, and the answer
// that arrives has no secret, because the one that had it is gone.
func TestLostAnswerCreatesOnce(t *testing.T) {
	s := startTest(t, devConfig(t), options{withoutSample: true})
	api, err := client.NewUnix(s.Socket())
	if err != nil {
		t.Fatal(err)
	}
	plain, ok := api.ClientInterface.(*client.Client)
	if !ok {
		t.Fatal("not the generated client")
	}
	plain.Client = &repeating{&losing{next: plain.Client}}
	r, err := api.CreateClientWithResponse(t.Context(), &client.CreateClientParams{IdempotencyKey: idempotencyKey()}, client.ClientMetadata{ClientName: "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	if r.JSON200 == nil || r.JSON200.ClientSecret != nil {
		t.Errorf("got %s", r.Body)
	}
	list, err := s.registry.ListClients(t.Context(), authz.ClientQuery{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Errorf("%d clients, %v", len(list), err)
	}
}

func TestPages(t *testing.T) {
	all := map[string][]int{"": {1, 2}, "b": {3}, "c": {}}
	next := map[string]*string{"": given("b"), "b": given("c"), "c": nil}
	at := func(c *string) string {
		if c == nil {
			return ""
		}
		return *c
	}
	got, err := pages(func(c *string) ([]int, *string, error) { return all[at(c)], next[at(c)], nil })
	if err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	// A server that never ends its list must not keep us for ever.
	got, err = pages(func(*string) ([]int, *string, error) { return []int{1}, given("x"), nil })
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	boom := errors.New("boom")
	if _, err := pages(func(*string) ([]int, *string, error) { return nil, nil, boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if got, _ := pages(func(*string) ([]int, *string, error) { return nil, nil, nil }); got == nil {
		t.Error("an empty list must print as []")
	}
}
