package admin

import (
	"context"
	"errors"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// What is wrong with a key that is brought along. No rule repeats anything of it: the file holds a private
// key, and what was typed beside it may be a part of one in the wrong place.
const (
	kidRule         = "must be 1 to 256 printable ASCII characters without quote and backslash, and neither . nor .."
	dotsRule        = "the member kid is . or .., which no address can name"
	otherKIDRule    = "must be left out, or be the kid that the JWK has"
	whichRSARule    = "must be RS256 or PS256 here: an RSA key serves either, and the file does not say which"
	publishedAtRule = "must lie in the past, after 1970: it is since when validators have known the key"
	unusableRule    = "holds a key that this server cannot sign with"
)

// ImportKey takes over a key of another server. The private part goes to the ring, which seals it, and
// nowhere else.
func (h *handler) ImportKey(ctx context.Context, req api.ImportKeyRequestObject) (api.ImportKeyResponseObject, error) {
	in, err := importedKey(*req.Body)
	if err != nil {
		return nil, err
	}
	v, err := h.keys.Import(ctx, in, origin(ctx))
	switch {
	case errors.Is(err, keys.ErrUnfit) && !in.PublishedAt.IsZero(): // everything else was judged above
		return nil, invalidField("published_at", publishedAtRule)
	case errors.Is(err, keys.ErrUnfit):
		return nil, invalidField("key", unusableRule)
	case err != nil:
		return nil, err
	}
	about(ctx, v.KeyID)
	k, err := keyOf(v)
	return api.ImportKey200JSONResponse(k), err
}

// importedKey reads what a request says of a key, and names everything that is wrong with it.
func importedKey(b api.KeyImport) (keys.ImportedKey, error) {
	file, err := jose.ParsePrivateKeyFile([]byte(b.Key))
	var wrong []authz.FieldError
	if err != nil {
		wrong = append(wrong, authz.FieldError{Field: "key", Rule: fileRule(err)})
	}
	kid, more := importedKID(b, file)
	wrong = append(wrong, more...)
	alg, more := importedAlgorithm(b, file)
	wrong = append(wrong, more...)
	in := keys.ImportedKey{Key: file.Key, Algorithm: alg, KeyID: kid}
	if b.PublishedAt != nil {
		in.PublishedAt = *b.PublishedAt
		if in.PublishedAt.Unix() <= 0 { // no time of a key: the zero time among them, which means now
			wrong = append(wrong, authz.FieldError{Field: "published_at", Rule: publishedAtRule})
		}
	}
	if len(wrong) > 0 {
		return keys.ImportedKey{}, &authz.InvalidError{Fields: wrong}
	}
	return in, nil
}

// importedKID is the kid that the request or the file names; both may, if it is the same. A file that says
// something else is most likely another one than was meant. Empty: the thumbprint. As with identifiers of
// clients, HTTP clients resolve . and .. away, and such a key could not be revoked.
func importedKID(b api.KeyImport, file jose.PrivateKeyFile) (kid string, wrong []authz.FieldError) {
	named, dots := text(b.KID), func(s string) bool { return s == "." || s == ".." }
	switch {
	case named == "" && dots(file.KeyID):
		return "", []authz.FieldError{{Field: "key", Rule: dotsRule}}
	case named == "":
		return file.KeyID, nil
	case !jose.ValidKeyID(named) || dots(named):
		return "", []authz.FieldError{{Field: "kid", Rule: kidRule}}
	case file.KeyID != "" && named != file.KeyID:
		return "", []authz.FieldError{{Field: "kid", Rule: otherKIDRule}}
	}
	return named, nil
}

// importedAlgorithm is the algorithm that the request names, the file names, or the key leaves no choice of.
func importedAlgorithm(b api.KeyImport, file jose.PrivateKeyFile) (alg jose.Algorithm, wrong []authz.FieldError) {
	only := func(rule string) []authz.FieldError { return []authz.FieldError{{Field: "algorithm", Rule: rule}} }
	if b.Algorithm == nil {
		if file.Key != nil && file.Algorithm == "" {
			return "", only(whichRSARule)
		}
		return file.Algorithm, nil
	}
	alg, err := authz.ParseAlgorithm("algorithm", string(*b.Algorithm))
	var invalid *authz.InvalidError
	switch {
	case errors.As(err, &invalid):
		return "", invalid.Fields
	case file.Key == nil: // nothing that it could not fit
		return alg, nil
	case file.Algorithm != "" && alg != file.Algorithm:
		return "", only("must be left out, or be " + string(file.Algorithm) + ": that is what this key is for")
	}
	if _, err := jose.NewPublicKey("", alg, file.Key.Public()); err != nil {
		return "", only(fileRule(err))
	}
	return alg, nil
}

// fileRule says what is wrong with a key, without the library's name before it.
func fileRule(err error) string {
	for _, kind := range []error{jose.ErrMalformed, jose.ErrKey} {
		if rule, ok := strings.CutPrefix(err.Error(), kind.Error()+": "); ok {
			return rule
		}
	}
	return unusableRule
}
