package jose

// ValidKeyID reports whether s can be a kid: 1 to [MaxKeyIDLength] printable ASCII characters, no quote
// and no backslash.
func ValidKeyID(s string) bool { return plainText(s, MaxKeyIDLength) }
