package verifier

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func readFrames(r io.Reader) (all []frame, err error) {
	f := newFrames(r)
	for {
		e, err := f.next()
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

// RST-05, WHATWG HTML, section 9.2.6: the rules of the format, one a row; the first four are its own examples.
func TestRST05_FramesOfAStream(t *testing.T) {
	for name, tt := range map[string]struct {
		stream string
		want   []frame
	}{
		"several lines of data":       {"data: YHOO\ndata: +2\ndata: 10\n\n", []frame{{data: "YHOO\n+2\n10"}}},
		"ids, a comment, an empty id": {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", []frame{{id: "1", data: "first event"}, {data: "second event"}, {data: " third event"}}},
		"empty data":                  {"data\n\ndata\ndata\n\ndata:", []frame{{data: ""}, {data: "\n"}}},
		"one space":                   {"data:test\n\ndata: test\n\n", []frame{{data: "test"}, {data: "test"}}},

		"CR LF":                           {"event: set\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []frame{{kind: "set", data: "a"}, {data: "b"}}},
		"CR":                              {"event: set\rdata: a\r\rdata: b\r\r", []frame{{kind: "set", data: "a"}, {data: "b"}}},
		"all three":                       {"data: a\r\ndata: b\rdata: c\n\r\n", []frame{{data: "a\nb\nc"}}},
		"LF CR is two":                    {"data: a\n\rdata: b\n\r", []frame{{data: "a"}, {data: "b"}}},
		"a byte order mark":               {"\ufeffdata: a\n\n", []frame{{data: "a"}}},
		"a second one":                    {"\ufeff\ufeffdata: a\n\ndata: b\n\n", []frame{{data: "b"}}},
		"one later":                       {"data: b\n\n\ufeffdata: a\n\n", []frame{{data: "b"}}},
		"an id with NUL":                  {"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n", []frame{{id: "1", data: "a"}, {id: "1", data: "b"}}},
		"an id stays":                     {"id: 1\n\ndata: a\n\ndata: b\n\n", []frame{{id: "1", data: "a"}, {id: "1", data: "b"}}},
		"a kind does not":                 {"event: x\n\ndata: a\n\n", []frame{{data: "a"}}},
		"the last kind":                   {"event: x\nevent: y\ndata: a\n\n", []frame{{kind: "y", data: "a"}}},
		"names have their case":           {"Data: a\nDATA: b\n\ndata: c\n\n", []frame{{data: "c"}}},
		"no space before":                 {" data: a\n\n", nil},
		"unknown fields":                  {"retry: 1\nx: y\nz\ndata: a\n\n", []frame{{data: "a"}}},
		"a colon in the data":             {"data: a: b:\n\n", []frame{{data: "a: b:"}}},
		"comments and empty lines":        {":\n:a\n\n\n::\ndata: a\n:b\n\n", []frame{{data: "a"}}},
		"broken off before the line ends": {"data: a\n\ndata: b", []frame{{data: "a"}}},
		"broken off before the end":       {"data: a\n\ndata: b\n", []frame{{data: "a"}}},
		"nothing":                         {"", nil},
		"not UTF-8":                       {"data: \xff\n\n", []frame{{data: "\xff"}}},
	} {
		for how, r := range map[string]io.Reader{"": strings.NewReader(tt.stream), ", byte by byte": iotest.OneByteReader(strings.NewReader(tt.stream))} {
			got, err := readFrames(r)
			if !errors.Is(err, io.EOF) || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s%s: %q, error %v; want %q", name, how, got, err, tt.want)
			}
		}
	}
}

// An event counts as soon as its empty line has come, whatever that ends by.
func TestRST05_AFrameWaitsForNothing(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
		r, w := io.Pipe()
		f := newFrames(r)
		go func() {
			_, _ = io.WriteString(w, "data: a"+end)
			_, _ = io.WriteString(w, "data: b"+end)
			w.Close()
		}()
		for _, want := range []string{"a", "b"} {
			if e, err := f.next(); err != nil || e.data != want {
				t.Errorf("%q: %q, error %v", end, e.data, err)
			}
		}
		r.Close()
	}
}

// endless is a stream that goes on, and counts what was taken of it.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, strings.Repeat(e.text, len(p)/len(e.text)+1))
	e.read += n
	return n, nil
}

// RST-10: no line and no event is kept that is longer than any of the feed.
func TestRST10_FramesAreBounded(t *testing.T) {
	for _, text := range []string{"a", "data: aaaa\n", "data:\n"} {
		e := &endless{text: text}
		if _, err := newFrames(e).next(); !errors.Is(err, errFrame) || e.read > 8*maxFrame {
			t.Errorf("%q: error %v after %d bytes", text, err, e.read)
		}
	}
	longest := strings.Repeat("a", maxFrame-len("data:"))
	if got, err := readFrames(strings.NewReader("data:" + longest + "\n\n")); len(got) != 1 || got[0].data != longest {
		t.Errorf("the longest line: %d events, error %v", len(got), err)
	}
	if _, err := readFrames(strings.NewReader("data:" + longest + "a\n\n")); !errors.Is(err, errFrame) {
		t.Errorf("one more: error %v", err)
	}
}

// plainFrames reads a whole stream in the words of the standard, without regard to memory.
func plainFrames(stream string) (all []frame) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(stream, "\n")
	var now frame
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if now.data != "" {
				e := now
				e.data = strings.TrimSuffix(now.data, "\n")
				all = append(all, e)
			}
			now = frame{id: now.id}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			now.kind = value
		case "data":
			now.data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				now.id = value
			}
		}
	}
	return all
}

// FuzzFrames: however a stream is cut into pieces, it is read as the standard says.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"id: run.1\nevent: set\ndata: a.b.c\n\n", "\ufeffdata: a\r\n\r\n", ":\r\rdata\rdata:b\n\n", "id: \x00\ndata: x\n\n", "\r\n\n\r", "data", "event\ndata: \n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		if len(stream) > maxFrame {
			t.Skip()
		}
		want := plainFrames(stream)
		for _, r := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream)), iotest.HalfReader(strings.NewReader(stream))} {
			got, err := readFrames(r)
			if !errors.Is(err, io.EOF) || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %q, error %v; want %q", stream, got, err, want)
			}
		}
	})
}
