package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
)

func (a *app) secretCommand() *cobra.Command {
	return group("secret", "Give a client further secrets, and revoke them",
		a.secretAdd(), a.secretList(), a.secretRevoke())
}

func (a *app) secretAdd() *cobra.Command {
	var (
		p                  *printer
		conn               *connection
		notBefore, expires time.Time
		secret             *brought
	)
	cmd := verb("add ID", "Make a further secret for a client; it is shown once", func(cmd *cobra.Command, args []string) error {
		var body client.SecretOptions
		if cmd.Flags().Changed("not-before") {
			body.NotBefore = &notBefore
		}
		if cmd.Flags().Changed("expires") {
			body.ClientSecretExpiresAt = new(expires.Unix())
		}
		own, err := secret.secret(cmd.Context())
		if err != nil {
			return err
		}
		body.ClientSecret, conn.brought = revealed(own), own
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.AddSecretWithResponse(cmd.Context(), args[0], &client.AddSecretParams{IdempotencyKey: idempotencyKey()}, body)
		if err != nil {
			return conn.failed(err)
		}
		made := first(r.JSON201, r.JSON200)
		if made == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), clientSubject(args[0]))
		}
		if made.ClientSecret == nil && own == nil {
			a.note("The secret was made, but the answer that showed it was lost. Revoke it (marque client secret revoke %s %s) and add another.", made.ClientID, made.CredentialID)
		}
		return p.print(made, func(w io.Writer) { secretCard(w, made) })
	})
	cmd.Flags().Var((*timeFlag)(&notBefore), "not-before", "refused before this time (RFC 3339; default valid at once)")
	cmd.Flags().Var((*timeFlag)(&expires), "expires", "refused from this time on (RFC 3339; default never)")
	secret = a.bringing(cmd)
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

func (a *app) secretList() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("list ID", "List a client's secrets, without the secrets themselves", func(cmd *cobra.Command, args []string) error {
		api, err := conn.open()
		if err != nil {
			return err
		}
		r, err := api.ListSecretsWithResponse(cmd.Context(), args[0])
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), clientSubject(args[0]))
		}
		all := nonNil(r.JSON200.Secrets)
		return p.print(all, func(w io.Writer) {
			var rows [][]string
			for _, s := range all {
				rows = append(rows, []string{s.CredentialID, secretState(&s, time.Now()), instant(&s.CreatedAt), instant(s.NotBefore), epoch(s.ClientSecretExpiresAt)})
			}
			table(w, []string{"credential_id", "state", "created_at", "not_before", "client_secret_expires_at"}, rows)
		})
	})
	p, conn = a.printing(cmd), a.connection(cmd)
	return cmd
}

func (a *app) secretRevoke() *cobra.Command {
	var (
		p           *printer
		conn        *connection
		compromised bool
		since       time.Time
	)
	cmd := verb("revoke ID CREDENTIAL", "Revoke a secret of a client", func(cmd *cobra.Command, args []string) error {
		var body client.SecretRevocation
		body.Compromised = onlyIf(compromised)
		if cmd.Flags().Changed("since") {
			if !compromised {
				return usagef("--since is about what was done with a --compromised secret")
			}
			body.Since = &since
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		before := secretsOf(cmd.Context(), api, args[0])
		r, err := api.RevokeSecretWithResponse(cmd.Context(), args[0], args[1], nil, body)
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), credentialSubject(args[0], args[1]))
		}
		a.revokedSecret(r.JSON200, compromised, before, secretsOf(cmd.Context(), api, args[0]))
		return p.print(r.JSON200, func(w io.Writer) { secretCard(w, r.JSON200) })
	})
	cmd.Flags().BoolVar(&compromised, "compromised", false, "somebody else may have it: void the tokens that were obtained with it")
	cmd.Flags().Var((*timeFlag)(&since), "since", "with --compromised: tokens issued before this time stay good (RFC 3339; default none)")
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

// secretsOf returns a client's secrets, for notes alone: none if they cannot be had.
func secretsOf(ctx context.Context, api *client.ClientWithResponses, id string) []client.Secret {
	r, err := api.ListSecretsWithResponse(ctx, id)
	if err != nil || r.JSON200 == nil {
		return nil
	}
	return r.JSON200.Secrets
}

// revokedSecret says what a revocation changed, and what it leaves. before and after are the client's
// secrets then; none where they are not known.
func (a *app) revokedSecret(s *client.Secret, compromised bool, before, after []client.Secret) {
	again := slices.ContainsFunc(before, func(b client.Secret) bool { return b.CredentialID == s.CredentialID && b.Revoked })
	switch {
	case again && compromised:
		a.note("The secret was revoked before; now the tokens that were obtained with it are void, too.")
	case again:
		a.note("The secret was revoked before; nothing has changed. Tokens that were obtained with it are void only with --compromised.")
	case !compromised:
		a.note("Tokens that were obtained with it stay good until they expire; --compromised voids them.")
	}
	valid := func(s client.Secret) bool { return secretState(&s, time.Now()) == "valid" }
	if len(after) > 0 && !slices.ContainsFunc(after, valid) {
		a.note("%s has no valid secret left, so it gets no tokens: marque client secret add %s", s.ClientID, s.ClientID)
	}
}

func secretState(s *client.Secret, now time.Time) string {
	switch {
	case s.Revoked:
		return "revoked"
	case s.ClientSecretExpiresAt != 0 && now.Unix() >= s.ClientSecretExpiresAt:
		return "expired"
	case s.NotBefore != nil && now.Before(*s.NotBefore):
		return "not yet valid"
	}
	return "valid"
}

func secretCard(w io.Writer, s *client.Secret) {
	secret := ""
	if s.ClientSecret != nil {
		secret = *s.ClientSecret + "  (shown this once)"
	}
	card(w,
		"client_id", s.ClientID,
		"credential_id", s.CredentialID,
		"client_secret", secret,
		"state", secretState(s, time.Now()),
		"created_at", instant(&s.CreatedAt),
		"not_before", instant(s.NotBefore),
		"client_secret_expires_at", epoch(s.ClientSecretExpiresAt),
		"revoked_at", instant(s.RevokedAt),
	)
}
