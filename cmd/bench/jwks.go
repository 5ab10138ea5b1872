package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
)

const jwksPath = "/.well-known/jwks.json"

// served is a document beside the least that the server can answer.
type served struct {
	what  string
	pairs []pair // the least, and the document
}

// measureJWKS asks a running server for the key set: whole, and with the ETag of what the asker has. Beside
// each it asks for /healthz, which costs HTTP and nothing else.
func (l *lab) measureJWKS(ctx context.Context, server *process, r *report) error {
	etag, err := l.jwksETag(ctx, server)
	if err != nil {
		return err
	}
	load, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	least := side{process: server, load: load, requests: [][]byte{get(l.address, "/healthz", "")}}
	var all []served
	for _, s := range []struct{ what, condition string }{{"whole (200)", ""}, {"not modified (304)", "If-None-Match: " + etag + "\r\n"}} {
		pairs, err := l.settings.alternate(ctx, least, side{process: server, load: load, requests: [][]byte{get(l.address, jwksPath, s.condition)}})
		if err != nil {
			return fmt.Errorf("measure %s: %w", jwksPath, err)
		}
		all = append(all, served{s.what, pairs})
	}
	r.jwks(all)
	return nil
}

// get returns the octets of one request; fields end each with a line break.
func get(host, path, fields string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: marque-bench\r\n" + fields + "\r\n")
}

// jwksETag fetches the key set once.
func (l *lab) jwksETag(ctx context.Context, server *process) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.address+jwksPath, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	etag := answer.Header.Get("ETag")
	if answer.StatusCode != http.StatusOK || etag == "" || bytes.ContainsAny([]byte(etag), "\r\n") {
		return "", errors.New(jwksPath + ": " + answer.Status + ", or without ETag")
	}
	return etag, nil
}
