package admin

import "time"

// The document's optional members are pointers in the generated types, and zero values in the domain.

func text[S ~string](s *S) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

func isTrue(b *bool) bool { return b != nil && *b }

func list(s *[]string) []string {
	if s == nil {
		return nil
	}
	return *s
}

// optional returns nil for the zero value: the member is absent.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// optionalTime returns nil for the zero time: the member is absent.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// unixSeconds is how RFC 7591 writes a time; 0 is never.
func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// words returns what is not nil, so that an empty list is written [] and not null.
func words[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
