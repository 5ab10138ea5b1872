package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/marque-auth/marque/keys/jose"
)

// tokenForm is the body of a token request, with the secret in it (RFC 6749, Section 2.3.1) because
// that is what the floor parses.
func tokenForm(client, secret, resource string) string {
	return url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {client},
		"client_secret": {secret},
		"scope":         {scope},
		"resource":      {resource},
	}.Encode()
}

// tokenRequest returns the octets of one token request.
func tokenRequest(host, client, secret, resource string) []byte {
	return formRequest(host, "/oauth2/token", tokenForm(client, secret, resource))
}

// formRequest returns the octets of one request with a form.
func formRequest(host, path, form string) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: marque-bench\r\n" +
		"Content-Type: application/x-www-form-urlencoded\r\n" +
		"Content-Length: " + strconv.Itoa(len(form)) + "\r\n\r\n" + form)
}

// tokenIn returns the token of a token answer.
func tokenIn(body []byte) (string, error) {
	_, rest, ok := bytes.Cut(body, []byte(answerHead))
	token, _, ended := bytes.Cut(rest, []byte(`"`))
	if !ok || !ended {
		return "", errors.New("the answer has no token")
	}
	return string(token), nil
}

// sample gets one token from the server and takes it apart.
func (l *lab) sample(ctx context.Context, server *process, a jose.Algorithm) (floorSample, error) {
	c, err := dial(ctx, server.address)
	if err != nil {
		return floorSample{}, err
	}
	defer c.Close()
	body, err := c.exchange(l.requests[a][0], true)
	if err != nil {
		return floorSample{}, fmt.Errorf("the first token of %s: %w\n%s", a, err, body)
	}
	s, err := takeApart(body)
	if err == nil && s.Algorithm != a {
		err = fmt.Errorf("a token of %s is signed by %s", resourceOf(a), s.Algorithm)
	}
	return s, err
}

// takeApart reads a token answer. What surrounds the token is kept as it is, so that the floor's
// answers have the same length.
func takeApart(body []byte) (floorSample, error) {
	head, rest, ok := bytes.Cut(body, []byte(answerHead))
	token, tail, ended := bytes.Cut(rest, []byte(`"`))
	segments := strings.Split(string(token), ".")
	if !ok || len(head) > 0 || !ended || len(segments) != 3 {
		return floorSample{}, fmt.Errorf("not a token answer that begins with %s", answerHead)
	}
	s := floorSample{Tail: `"` + string(tail)}
	var header struct{ Alg, Kid, Typ string }
	text, err := base64.RawURLEncoding.DecodeString(segments[0])
	if err != nil {
		return floorSample{}, err
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return floorSample{}, err
	}
	if s.Wire, err = wireAlgorithm(header.Alg); err != nil {
		return floorSample{}, err
	}
	s.Algorithm, s.KeyID, s.Type = s.Wire.Canonical(), header.Kid, header.Typ
	s.Payload, err = base64.RawURLEncoding.DecodeString(segments[1])
	return s, err
}

// wireAlgorithm is ParseAlgorithm without making EdDSA canonical.
func wireAlgorithm(name string) (jose.Algorithm, error) {
	if _, err := jose.ParseAlgorithm(name); err != nil {
		return "", err
	}
	return jose.Algorithm(name), nil
}
