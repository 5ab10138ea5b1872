package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz"
)

// longestPlain is the length in bytes up to which an argument is repeated in a message.
const longestPlain = 64

// looksSecret reports whether an argument may be a token or a secret in the wrong place. The terminal,
// and whatever records it, must not get another copy.
func looksSecret(arg string) bool {
	return len(arg) > longestPlain || strings.Contains(arg, "mrq_") || (strings.Contains(arg, "eyJ") && strings.Count(arg, ".") >= 2)
}

// surplus is the error of an argument that the command does not take. What looks like a secret is not
// repeated; whoever typed it is told where it belongs.
func surplus(cmd *cobra.Command, arg string) error {
	switch {
	case takesRight(cmd) && strings.Contains(arg, "://"):
		return usagef("--admin alone is a right of the client here; another machine is named --admin=URL, with the equals sign")
	case !looksSecret(arg):
		return usagef("unexpected argument %q", arg)
	case cmd.Name() == "inspect" || cmd.Name() == "verify" || (cmd.Name() == "revoke" && cmd.Parent().Name() == "token"):
		return usagef("an argument is unexpected; the token comes on stdin: %s", cmd.CommandPath()+flagsOf(cmd)+` <<<"$TOKEN"`)
	case strings.HasPrefix(arg, "eyJ"):
		return usagef(`an argument is unexpected; tokens come on stdin: marque token inspect <<<"$TOKEN"`)
	}
	return usagef("an argument is unexpected; it is not repeated here because it may be a secret")
}

// flagsOf writes the flags that a command cannot do without.
func flagsOf(cmd *cobra.Command) string {
	var b strings.Builder
	for _, name := range []string{"issuer", "audience"} {
		if f := cmd.Flags().Lookup(name); f != nil {
			b.WriteString(" --" + name + " …")
		}
	}
	return b.String()
}

// tokenPattern matches a compact JWS, and what was cut off from one.
var tokenPattern = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){1,4}`)

// redactedText cuts tokens and client secrets out of a message: the libraries that read flags and
// addresses repeat what they were given.
func redactedText(s string) string {
	return tokenPattern.ReplaceAllString(authz.Redact(s), "[redacted]")
}
