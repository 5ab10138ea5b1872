package jose

import (
	"errors"
	"fmt"
)

// The reasons for a refusal, for [errors.Is]. They are meant for the log; what a stranger is told is
// the caller's business. No message contains octets of what was refused.
var (
	// ErrMalformed says that the form is wrong: size, alphabet, parts, base64url or JSON.
	ErrMalformed = errors.New("jose: malformed")

	// ErrHeader says that the header is well formed but not one of ours.
	ErrHeader = errors.New("jose: unacceptable header")

	// ErrAlgorithm is the ErrHeader of an algorithm that is unknown, not allowed here, or not the key's.
	ErrAlgorithm = fmt.Errorf("%w: algorithm", ErrHeader)

	// ErrType is the ErrHeader of a typ that is not allowed here.
	ErrType = fmt.Errorf("%w: type", ErrHeader)

	// ErrUnknownKey says that nobody knows the key that the header names.
	ErrUnknownKey = errors.New("jose: unknown key")

	// ErrSignature says that the signature is not the key's over these octets.
	ErrSignature = errors.New("jose: bad signature")

	// ErrKey says that a key, or a set of keys, cannot be used.
	ErrKey = errors.New("jose: unusable key")

	// ErrSealed says that a sealed secret cannot be opened: another key-encryption key, another
	// purpose, or altered octets. Which of these must not matter to the caller.
	ErrSealed = errors.New("jose: cannot open sealed secret")
)
