package main

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/marque-auth/marque/authz"
)

// longestPlain is the length in bytes up to which an argument is repeated in a message.
const longestPlain = 64

// looksSecret reports whether an argument may be a token or a secret in the wrong place. The terminal,
// and whatever records it, must not get another copy.
func looksSecret(arg string) bool {
	return len(arg) > longestPlain || strings.Contains(arg, "mrq_") || (strings.Contains(arg, "eyJ") && strings.Count(arg, ".") >= 2)
}

// secretRun is how many letters and digits in a row make a secret rather than a word.
const secretRun = 16

// mayBeSecret reports whether an argument may be a token or a secret in the wrong place, also one that
// another server made. Identifiers that this server makes are none. It may be wrong about an odd
// identifier, which then is not repeated to whoever has just typed it.
func mayBeSecret(arg string) bool {
	if looksSecret(arg) {
		return true
	}
	if madeHere.MatchString(arg) || strings.Contains(arg, "://") {
		return false
	}
	upper, lower := strings.ContainsFunc(arg, unicode.IsUpper), strings.ContainsFunc(arg, unicode.IsLower)
	digit := strings.ContainsFunc(arg, unicode.IsDigit)
	if len(arg) >= 8 && upper && lower && digit || strings.ContainsAny(arg, "!$%^&*()+=#;<>?|{}[]\"'`\\") {
		return true
	}
	return longestRun(arg) >= secretRun
}

// madeHere matches client_id and credential_id as the server makes them.
var madeHere = regexp.MustCompile(`^([a-z2-7]{26}|[a-z2-7]{16})$`)

// longestRun is the length of the longest row of letters and digits.
func longestRun(s string) (most int) {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		most = max(most, len(word))
	}
	return most
}

// shapedSecret reports whether a name for people is a secret instead: one long word of letters and
// digits, which nobody is called.
func shapedSecret(name string) bool {
	return redactedText(name) != name ||
		len(name) >= 22 && !strings.ContainsFunc(name, unicode.IsSpace) && longestRun(name) >= secretRun && strings.ContainsFunc(name, unicode.IsDigit)
}

// surplus is the error of an argument that the command does not take. What looks like a secret is not
// repeated; whoever typed it is told where it belongs.
func surplus(cmd *cobra.Command, arg string) error {
	switch {
	case takesRight(cmd) && strings.Contains(arg, "://"):
		return usagef("--admin alone is a right of the client here; another machine is named --admin=URL, with the equals sign")
	case cmd.Flags().Lookup("secret-stdin") != nil: // whatever it looks like: partners' old secrets look like anything
		return usagef("an argument is unexpected; it is not repeated here because it may be a secret. A secret from another server comes by --secret-stdin or --secret-file")
	case !mayBeSecret(arg):
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

// keyPattern matches a private key in PEM, and what was cut off from one.
var keyPattern = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|$)`)

// redactedText cuts tokens, client secrets and private keys out of a message: the libraries that read flags
// and addresses repeat what they were given.
func redactedText(s string) string {
	return keyPattern.ReplaceAllString(tokenPattern.ReplaceAllString(authz.Redact(s), "[redacted]"), "[redacted]")
}

// flagError explains a flag that cannot be read. The library repeats its value, which may be a secret.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var malformed *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "bool":
		return usagef("--%s takes no value", invalid.GetFlag().Name)
	case errors.As(err, &invalid) && mayBeSecret(invalid.GetValue()):
		return usagef("--%s: %v; the value is not repeated here because it may be a secret", invalid.GetFlag().Name, invalid.Unwrap())
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" && mayBeSecret(unknown.GetSpecifiedShortnames()),
		errors.As(err, &unknown) && mayBeSecret(unknown.GetSpecifiedName()):
		return usagef("a flag is unknown; it is not repeated here because it may be a secret")
	case errors.As(err, &malformed) && mayBeSecret(malformed.GetSpecifiedFlag()): // such as a private key in PEM, which begins with dashes
		return usagef("what begins with a dash is no flag; it is not repeated here because it may be a secret")
	}
	return err
}

// unreadable says why a file could not be read. What was typed in place of its name may be the secret.
func unreadable(name string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) && mayBeSecret(name) && !strings.ContainsAny(name, "/.") {
		return at.Err
	}
	return err
}
