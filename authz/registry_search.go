package authz

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// CredentialNamed returns the credential that a search is about: of a secret of ours, whole or only its
// beginning, as it turns up in a leak, the one that it names; of any other text the text itself, if it
// can be the identifier of one.
func CredentialNamed(text string) (CredentialID, bool) {
	rest, secret := strings.CutPrefix(text, secretPrefix)
	if !secret {
		return CredentialID(text), ValidClientID(text)
	}
	if len(rest) > credentialIDLen && rest[credentialIDLen] != '_' {
		return "", false
	}
	id := rest[:min(len(rest), credentialIDLen)]
	return CredentialID(id), len(id) == credentialIDLen && ValidClientID(id)
}

// ListClients is as ClientRecords.ListClients. It also finds the client that holds, or held, the one
// credential which the text names: who found a leaked secret knows nothing else. Of a text that looks
// like a secret nothing else is used.
func (r *Registry) ListClients(ctx context.Context, q ClientQuery) ([]Client, error) {
	holder, err := r.holder(ctx, q)
	if err != nil {
		return nil, err
	}
	var found []Client
	if Redact(q.Text) == q.Text {
		if found, err = r.config.Clients.ListClients(ctx, q); err != nil {
			return nil, err
		}
	}
	return merged(found, holder, q.Limit), nil
}

// holder returns the client of the credential that q names, if it belongs behind q.After; nil otherwise.
// It is asked for on every page: in the order of identifiers it may belong on any of them.
func (r *Registry) holder(ctx context.Context, q ClientQuery) (*Client, error) {
	credential, ok := CredentialNamed(q.Text)
	if !ok {
		return nil, nil
	}
	id, err := r.config.Clients.ClientOf(ctx, credential)
	if err == nil && id > q.After {
		var c Client
		if c, err = r.Client(ctx, id); err == nil {
			return &c, nil
		}
	}
	if err == nil || errors.Is(err, ErrNotFound) { // nobody's, or of a client that is deleted
		return nil, nil
	}
	return nil, err
}

// merged puts one more client where it belongs among found, of which it may be one already.
func merged(found []Client, more *Client, limit int) []Client {
	if more == nil {
		return found
	}
	i, there := slices.BinarySearchFunc(found, more.ID, func(c Client, id ClientID) int { return strings.Compare(string(c.ID), string(id)) })
	if there {
		return found
	}
	found = slices.Insert(found, i, *more)
	return found[:min(len(found), limit)]
}
