package keys

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/marque-auth/marque/keys/jose"
)

const (
	kekSize     = 32      // octets
	kekFileSize = 1 << 10 // octets of a key file, at most: a key, and room for white space
)

// ErrKEK says that a text or a file holds no key-encryption key, or not safely.
var ErrKEK = errors.New("keys: unusable key-encryption key")

// kekEncoding is strict: one key has one text.
func kekEncoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// GenerateKEK returns a new key-encryption key as text: base64url of 32 random octets.
func GenerateKEK() string {
	var secret [kekSize]byte
	_, _ = rand.Read(secret[:]) // never fails
	return kekEncoding().EncodeToString(secret[:])
}

// ParseKEK reads what [GenerateKEK] wrote; white space around it is ignored. The error wraps [ErrKEK]
// and contains nothing of the text.
func ParseKEK(text string) (*jose.KEK, error) {
	text = strings.TrimSpace(text)
	b, err := kekEncoding().DecodeString(text)
	// The decoder skips line breaks, which would give one key many texts.
	if err != nil || len(b) != kekSize || len(text) != kekEncoding().EncodedLen(kekSize) {
		return nil, fmt.Errorf("%w: it must be base64url of %d octets: %d characters of A-Z a-z 0-9 - _, without padding",
			ErrKEK, kekSize, kekEncoding().EncodedLen(kekSize))
	}
	defer clear(b)
	return jose.NewKEK([kekSize]byte(b)), nil
}

// WriteKEKFile makes a key-encryption key and writes it to a new file of mode 0600. An existing file
// is never touched: losing a key-encryption key is losing all that it sealed. The file is on the disk
// when WriteKEKFile returns.
func WriteKEKFile(path string) (*jose.KEK, error) {
	text := GenerateKEK()
	kek, err := ParseKEK(text)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keys: write key-encryption key: %q exists and is left as it is: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: write key-encryption key: %w", err)
	}
	_, err = io.WriteString(f, text+"\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		// Ours and unusable; left behind, it would stand in the way of the next attempt.
		return nil, fmt.Errorf("keys: write key-encryption key: %w", errors.Join(err, os.Remove(path)))
	}
	return kek, nil
}

// ReadKEKFile reads a key-encryption key from a regular file that its owner alone may use.
func ReadKEKFile(path string) (*jose.KEK, error) {
	// Looked at before it is opened: opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keys: there is no key-encryption key at %s; restore your copy of it: without it nothing that it sealed can be opened: %w", path, err)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %q is not a regular file", ErrKEK, path)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: read key-encryption key: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keys: read key-encryption key: %w", err)
	}
	defer f.Close()
	// Asked of the open file, which nobody can exchange any more.
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("keys: read key-encryption key: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %q has mode %04o, so others than its owner can use it; run: chmod 600 %s",
			ErrKEK, path, mode.Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, kekFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("keys: read key-encryption key: %w", err)
	}
	defer clear(b)
	if len(b) > kekFileSize {
		return nil, fmt.Errorf("%w: %q has more than %d octets", ErrKEK, path, kekFileSize)
	}
	kek, err := ParseKEK(string(b))
	if err != nil {
		return nil, fmt.Errorf("keys: read %q: %w", path, err)
	}
	return kek, nil
}

// syncFolder makes the entry of a new file durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
