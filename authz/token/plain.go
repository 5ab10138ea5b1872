package token

import (
	"strconv"
	"strings"
)

// plainPayload reads a payload that looks as Claims.AppendJSON writes it, with one audience and without static
// claims: as nearly all are. That spares them the JSON parser, which is half of what a token costs beside its signature. Of any
// other payload it says nothing: good or bad, that is judged by the parser. What it reads the parser reads likewise, and
// FuzzPlain looks for what it does not.
func plainPayload(payload []byte) (w wire, ok bool) {
	p := plain{rest: string(payload), ok: true}
	c := &w.claims
	c.Issuer = p.text(`{"iss":"`)
	c.Subject = p.text(`,"sub":"`)
	c.Audience = []string{p.text(`,"aud":"`)}
	c.ClientID = p.text(`,"client_id":"`)
	if p.at(`,"credential_id":"`) {
		c.CredentialID = p.text(`,"credential_id":"`)
	}
	if p.at(`,"scope":"`) {
		c.Scope = p.text(`,"scope":"`)
	}
	w.iat = p.date(`,"iat":`)
	w.exp = p.date(`,"exp":`)
	c.JTI = p.text(`,"jti":"`)
	return w, p.ok && p.rest == "}"
}

// plain is what is left to read. ok is false once something was not as expected, and what is read then is of no use.
type plain struct {
	rest string
	ok   bool
}

func (p *plain) at(prefix string) bool { return strings.HasPrefix(p.rest, prefix) }

// text reads a member that is a string of printable ASCII, not empty and without an escape; prefix reaches to its
// first character.
func (p *plain) text(prefix string) string {
	after, ok := strings.CutPrefix(p.rest, prefix)
	n := 0
	for n < len(after) && printable[after[n]] {
		n++
	}
	if !ok || !p.ok || n == 0 || n == len(after) || after[n] != '"' {
		p.ok = false
		return ""
	}
	p.rest = after[n+1:]
	return after[:n]
}

// date reads a member that is a number of whole seconds, of up to 11 digits and without a leading zero.
func (p *plain) date(prefix string) numericDate {
	after, ok := strings.CutPrefix(p.rest, prefix)
	n := 0
	for n < len(after) && '0' <= after[n] && after[n] <= '9' {
		n++
	}
	if !ok || !p.ok || n == 0 || n > 11 || after[0] == '0' {
		p.ok = false
		return numericDate{}
	}
	p.rest = after[n:] // a fraction or an exponent is not what comes next
	seconds, err := strconv.ParseInt(after[:n], 10, 64)
	p.ok = err == nil
	return numericDate{present: true, seconds: seconds}
}

// printable says which octets stand for themselves in a JSON string. It is immutable.
var printable = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()
