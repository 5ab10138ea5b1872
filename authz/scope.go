package authz

import (
	"errors"
	"slices"
	"strings"
)

// maxScopeTokens bounds how many scopes one set may hold; a request body is bounded long before.
const maxScopeTokens = 256

var errScope = errors.New("a scope is one or more tokens of %x21 %x23-5B %x5D-7E joined by single spaces")

// ScopeSet is a set of scope tokens: sorted, without duplicates, each valid. The zero value is the
// empty set. Being valid is a property of the type, so a ScopeSet is never checked twice.
type ScopeSet struct{ tokens []string }

// ParseScope parses a scope string as RFC 6749, Section 3.3 writes it. Duplicates collapse; case
// and every other difference count; leading, trailing and double spaces are errors.
func ParseScope(s string) (ScopeSet, error) {
	if s == "" {
		return ScopeSet{}, nil
	}
	if strings.Count(s, " ") >= maxScopeTokens {
		return ScopeSet{}, errScope
	}
	tokens := strings.Split(s, " ")
	for _, t := range tokens {
		if !validScopeToken(t) {
			return ScopeSet{}, errScope
		}
	}
	slices.Sort(tokens)
	return ScopeSet{slices.Compact(tokens)}, nil
}

func validScopeToken(t string) bool {
	for i := 0; i < len(t); i++ {
		if c := t[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return t != ""
}

// String returns the tokens in order, joined by single spaces.
func (s ScopeSet) String() string { return strings.Join(s.tokens, " ") }

// Empty reports whether the set has no tokens.
func (s ScopeSet) Empty() bool { return len(s.tokens) == 0 }

// Len returns the number of tokens.
func (s ScopeSet) Len() int { return len(s.tokens) }

// Tokens returns a copy of the tokens, sorted.
func (s ScopeSet) Tokens() []string { return slices.Clone(s.tokens) }

// Has reports whether the token is in the set.
func (s ScopeSet) Has(token string) bool {
	_, ok := slices.BinarySearch(s.tokens, token)
	return ok
}

// Contains reports whether every token of o is in s.
func (s ScopeSet) Contains(o ScopeSet) bool {
	for _, t := range o.tokens {
		if !s.Has(t) {
			return false
		}
	}
	return true
}

// without returns the tokens of s that are not in o.
func (s ScopeSet) without(o ScopeSet) ScopeSet {
	return ScopeSet{slices.DeleteFunc(slices.Clone(s.tokens), o.Has)}
}

// union returns the tokens of s and o.
func (s ScopeSet) union(o ScopeSet) ScopeSet {
	tokens := slices.Concat(s.tokens, o.tokens)
	slices.Sort(tokens)
	return ScopeSet{slices.Compact(tokens)}
}

// Intersects reports whether s and o share a token.
func (s ScopeSet) Intersects(o ScopeSet) bool { return slices.ContainsFunc(o.tokens, s.Has) }

// Equal reports whether s and o hold the same tokens.
func (s ScopeSet) Equal(o ScopeSet) bool { return slices.Equal(s.tokens, o.tokens) }
