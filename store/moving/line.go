package moving

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Every line ends in its code: what stands before codeHead is what the code is of. It is found by its place, so
// that nothing has to be parsed before it is authenticated.
const (
	codeHead = `,"code":"`
	codeTail = `"}`
	codeSize = 43 // characters of base64url of 32 octets
	tailSize = len(codeHead) + codeSize + len(codeTail)

	maxLine = 16 << 20 // octets; the largest record that a store holds is far below
)

// LineError says which line of an export cannot be used, and why.
type LineError struct {
	Line   int    // from 1
	Reason string // without anything of the line but identifiers
	Err    error  // the cause, if there is one
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// Why a line is refused.
var (
	// ErrAltered says that a line is not what was exported in its place.
	ErrAltered = errors.New("moving: altered")
	// ErrIncomplete says that the file ends before the export does.
	ErrIncomplete = errors.New("moving: incomplete")
	// ErrNewer says that a newer version of this program wrote the file.
	ErrNewer = errors.New("moving: a newer format")
	// ErrContent says that a line is authentic and yet not what can be imported.
	ErrContent = errors.New("moving: cannot be imported")
)

func codeEncoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// chain computes the codes of the lines: each over the code of the line before it, and the line.
type chain struct {
	mac  hash.Hash
	last [sha256.Size]byte
}

func newChain(key [32]byte) *chain { return &chain{mac: hmac.New(sha256.New, key[:])} }

// next returns the code of the next line.
func (c *chain) next(content []byte) []byte {
	c.mac.Reset()
	c.mac.Write(c.last[:])
	c.mac.Write(content)
	c.mac.Sum(c.last[:0])
	return c.last[:]
}

// follows reports whether code is that of the next line.
func (c *chain) follows(content, code []byte) bool {
	var given [sha256.Size]byte
	n, err := codeEncoding().Decode(given[:], code)
	return hmac.Equal(c.next(content), given[:]) && err == nil && n == len(given)
}

// seal appends its code to the content of a line, which begins with { and is not closed yet.
func (c *chain) seal(content []byte) []byte {
	code := c.next(content)
	content = append(content, codeHead...)
	content = codeEncoding().AppendEncode(content, code)
	return append(content, codeTail+"\n"...)
}

// split separates a line from its code.
func split(line []byte) (content, code []byte, ok bool) {
	at := len(line) - tailSize
	if at < 1 || line[0] != '{' {
		return nil, nil, false
	}
	tail := line[at:]
	code = tail[len(codeHead) : len(codeHead)+codeSize]
	ok = bytes.HasPrefix(tail, []byte(codeHead)) && bytes.HasSuffix(tail, []byte(codeTail))
	return line[:at], code, ok
}

// lines reads a file by lines, each at most maxLine.
type lines struct {
	from   *bufio.Reader
	line   []byte
	number int   // of the last one that was read
	octets int64 // that were read
}

func newLines(r io.Reader) *lines { return &lines{from: bufio.NewReaderSize(r, 256<<10)} }

// next returns a line without its end; it is gone with the next call. The error is io.EOF behind the last
// one, a *LineError, or that of reading.
func (l *lines) next() ([]byte, error) {
	l.line = l.line[:0]
	for {
		part, err := l.from.ReadSlice('\n')
		l.octets += int64(len(part))
		if len(l.line)+len(part) > maxLine {
			l.number++
			return nil, l.wrong(ErrAltered, fmt.Sprintf("it is longer than %d octets, which no line of an export is", maxLine))
		}
		l.line = append(l.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(l.line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			l.number++
			return nil, l.wrong(ErrIncomplete, "it is cut off: the file was not written, or not copied, to its end")
		case err != nil:
			return nil, err
		}
		l.number++
		return l.line[:len(l.line)-1], nil
	}
}

func (l *lines) wrong(err error, reason string) error {
	return &LineError{Line: l.number, Reason: reason, Err: err}
}
