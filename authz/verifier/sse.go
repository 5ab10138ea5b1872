package verifier

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/marque-auth/marque/keys/jose"
)

// maxFrame bounds one line of a stream, and the data of one event: a token fits, and what a frame puts around it.
const maxFrame = jose.MaxTokenSize + 1<<10

var errFrame = errors.New("follow: a line or an event that is longer than any of the feed")

// frame is one event of a stream.
type frame struct {
	id   string // of the last event that had one, which need not be this one
	kind string // "" stands for message
	data string
}

// frames reads server-sent events: the WHATWG HTML standard, section 9.2 (parsing and interpreting an event
// stream). Memory is bounded, whatever is sent; time is up to whoever closes the stream. The field retry is
// ignored: how often we come back is for us to say. Octets that are not UTF-8 are kept as they are, and no
// event that counts here has any.
type frames struct {
	r     *bufio.Reader
	begun bool   // the first line was read, and with it the byte order mark
	ended bool   // the last line ended by CR: an LF that follows belongs to it
	line  []byte // the room for one

	id string
}

func newFrames(r io.Reader) *frames { return &frames{r: bufio.NewReaderSize(r, 32<<10)} }

// next returns the next event. One that the stream breaks off in is none. After an error it must not be
// called again.
func (f *frames) next() (frame, error) {
	var data []byte
	var kind string
	for {
		line, err := f.readLine()
		if err != nil {
			return frame{}, err
		}
		if len(line) == 0 {
			if len(data) == 0 {
				kind = ""
				continue
			}
			return frame{id: f.id, kind: kind, data: string(data[:len(data)-1])}, nil
		}
		name, value, _ := bytes.Cut(line, []byte{':'}) // a comment has no name
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(name) {
		case "event":
			kind = string(value)
		case "data":
			if len(data)+len(value) >= maxFrame {
				return frame{}, errFrame
			}
			data = append(append(data, value...), '\n')
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				f.id = string(value)
			}
		}
	}
}

// readLine returns a line without its end, which is CR LF, LF or CR. It does not wait for what may follow a
// CR, since that may be the next event, much later.
func (f *frames) readLine() ([]byte, error) {
	f.line = f.line[:0]
	for {
		c, err := f.r.ReadByte()
		if err != nil {
			return nil, err
		}
		after := f.ended
		f.ended = false
		switch {
		case c == '\n' && after:
			continue
		case c == '\n' || c == '\r':
			f.ended = c == '\r'
			line := f.line
			if !f.begun {
				f.begun = true
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			return line, nil
		case len(f.line) >= maxFrame:
			return nil, errFrame
		}
		f.line = append(f.line, c)
	}
}
