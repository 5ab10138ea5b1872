package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/keys/jose"
)

// publicSet is a JWK set (RFC 7517, Section 5).
type publicSet struct {
	Keys []*client.PublicJWK `json:"keys"`
}

func (a *app) keyExport() *cobra.Command {
	var p *printer
	var conn *connection
	var public, asPEM bool
	cmd := verb("export KID", "Write public keys, for validators that cannot fetch the key set", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.ListKeysWithResponse(cmd.Context())
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{})
		}
		chosen, err := exported(r.JSON200.Keys, args)
		switch {
		case err != nil:
			return err
		case asPEM:
			return a.exportPEM(chosen)
		}
		var v any = publicSet{jwks(chosen)}
		if len(args) > 0 {
			v = chosen[0].Jwk
		}
		p.json = true // it is JSON anyway
		return p.print(v, nil)
	})
	cmd.Use = "export --public [KID]"
	cmd.Long = "Writes the public keys that are published, as one JWK set, or the one of a kid, as a JWK. With --pem each is a\n" +
		"PUBLIC KEY block (SubjectPublicKeyInfo) and nothing else, for validators that read no JWK; which block is which key is\n" +
		"said on stderr, in the same order. Keys change: a validator that has a copy must get the new ones in time (marque\n" +
		"key plan), so let it fetch the key set if it can. Private keys do not leave the server."
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return surplus(cmd, args[1])
		case !public:
			return usagef("private keys do not leave the server; public ones do: --public")
		case asPEM && p.json:
			return usagef("--pem and --json exclude each other")
		}
		return nil
	}
	cmd.Flags().BoolVar(&public, "public", false, "the public keys; there is nothing else to be had")
	cmd.Flags().BoolVar(&asPEM, "pem", false, "as PEM instead of JSON")
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

// exported picks the published keys, or the one that was asked for: a key that is published no more should
// not be trusted by anybody.
func exported(all []client.Key, args []string) ([]client.Key, error) {
	var chosen []client.Key
	for _, k := range all {
		switch {
		case len(args) == 0 && k.Jwk != nil, len(args) > 0 && k.KID == args[0] && k.Jwk != nil:
			chosen = append(chosen, k)
		case len(args) > 0 && k.KID == args[0]:
			return nil, fmt.Errorf("the key %q is %s, and published no more: nobody should take what it signed", k.KID, k.State)
		}
	}
	if len(args) > 0 && len(chosen) == 0 {
		return nil, fmt.Errorf("no key %s; see marque key list", strconv.Quote(args[0]))
	}
	return chosen, nil
}

func jwks(all []client.Key) []*client.PublicJWK {
	list := make([]*client.PublicJWK, len(all))
	for i, k := range all {
		list[i] = k.Jwk
	}
	return list
}

// exportPEM writes the blocks and nothing else to stdout. The format has no place for a kid: OpenSSL takes a
// header for encryption, and some readers trip over text before a block.
func (a *app) exportPEM(all []client.Key) error {
	var blocks []byte
	for _, k := range all {
		jwk, err := json.Marshal(k.Jwk)
		if err != nil {
			return err
		}
		public, err := jose.ParsePublicJWK(jwk, k.KID, jose.Algorithm(k.Algorithm))
		if err != nil {
			return fmt.Errorf("the server shows a public key %q that is none: %w", clean(k.KID), err)
		}
		blocks = append(blocks, public.PEM()...)
	}
	for i, k := range all {
		a.note("%d: %s %s (%s)", i+1, k.Algorithm, clean(k.KID), k.State)
	}
	_, err := a.stdout.Write(blocks)
	return err
}
