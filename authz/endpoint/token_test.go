package endpoint

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/marque-auth/marque/authz"
)

func TestFormCharset(t *testing.T) {
	for name, c := range map[string]struct {
		fields    []string
		asciiOnly bool
		refused   *refusal
	}{
		"plain":                          {[]string{mediaForm}, false, nil},
		"TOK-04 any letter case":         {[]string{"Application/X-WWW-Form-Urlencoded"}, false, nil},
		"TOK-04 UTF-8, quoted":           {[]string{`Application/X-WWW-Form-Urlencoded; Charset="UTF-8"`}, false, nil},
		"TOK-04 ISO-8859-1":              {[]string{mediaForm + ";charset=ISO-8859-1"}, true, nil},
		"TOK-04 US-ASCII":                {[]string{mediaForm + "; charset=us-ascii"}, true, nil},
		"TOK-04 another parameter":       {[]string{mediaForm + "; x=y"}, false, nil},
		"TKE-06 absent":                  {nil, false, missingContentType},
		"TKE-06 empty":                   {[]string{""}, false, missingContentType},
		"TKE-07 JSON":                    {[]string{"application/json"}, false, wrongContentType},
		"TKE-08 multipart":               {[]string{"multipart/form-data; boundary=x"}, false, wrongContentType},
		"TKE-09 UTF-16":                  {[]string{mediaForm + "; charset=utf-16"}, false, wrongCharset},
		"TKE-09 empty charset":           {[]string{mediaForm + `; charset=""`}, false, wrongCharset},
		"TKE-09 charset in RFC 2231":     {[]string{mediaForm + "; charset*=us-ascii''utf-16"}, false, wrongCharset},
		"TKE-09 two charsets":            {[]string{mediaForm + "; charset=utf-8; charset=utf-16"}, false, wrongContentType},
		"TKE-10 two fields":              {[]string{mediaForm, mediaForm}, false, repeatedContentType},
		"TKE-10 two types in one field":  {[]string{mediaForm + ", text/plain"}, false, wrongContentType},
		"something like the right thing": {[]string{mediaForm + "x"}, false, wrongContentType},
	} {
		t.Run(name, func(t *testing.T) {
			asciiOnly, refused := formCharset(c.fields)
			if asciiOnly != c.asciiOnly || refused != c.refused {
				t.Errorf("got %v, %+v", asciiOnly, refused)
			}
		})
	}
}

func TestTKE25_CredentialsInTheQuery(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "scope=admin": false, "grant_type=client_credentials": false, "xclient_id=a": false, "a=client_secret": false,
		"client_id=a": true, "client_secret=a": true, "client_assertion=a": true, "a=b&client_secret=x": true, "client_secret": true,
		"a=b;client_secret=x": true, "client%5Fsecret=x": true, "client_id=%zz": true,
	} {
		if got := inQuery(query).credentials; got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

func TestRVK02_INT03_TokensInTheQuery(t *testing.T) {
	for query, want := range map[string]exposed{
		"": {}, "xtoken=a": {}, "a=token": {}, "token_type_hint=x": {}, "Token=a": {},
		"token=a": {token: true}, "access_token=a": {token: true}, "token": {token: true}, "a;token=x": {token: true}, "%74oken=x": {token: true},
		"token=%zz": {token: true}, "token=a&client_id=b": {credentials: true, token: true},
	} {
		if got := inQuery(query); got != want {
			t.Errorf("%q: %+v", query, got)
		}
	}
}

func TestTKE11_ContentEncoding(t *testing.T) {
	for coding, want := range map[string]int{"gzip": 415, "identity, gzip": 415, "br": 415, "identity": 200, "Identity": 200, "": 200} {
		r := tokenPost(b0)
		r.Header.Set("Content-Encoding", coding)
		w := serveOne(t, r, answering(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil }))
		if w.Code != want || (want == 415) != (w.Header().Get("Accept-Encoding") == "identity") {
			t.Errorf("%q: %d %v", coding, w.Code, w.Header())
		}
	}
}

// TOK-10: the bound holds while reading, and no more than one octet over it is taken.
func TestTOK10_BodyIsBoundedWhileReading(t *testing.T) {
	endless := &countingReader{r: io.MultiReader(strings.NewReader("a="), forever{})}
	r := tokenPost("")
	r.Body, r.ContentLength = endless, -1
	w := serveOne(t, r, func(c *Config) { c.BodyLimit = 1000 })
	if w.Code != 413 || w.Header().Get("Connection") != "close" || endless.n != 1001 {
		t.Errorf("%d after %d octets, %v", w.Code, endless.n, w.Header())
	}
}

func TestTOK10_ADeclaredLengthOverTheBoundIsNotRead(t *testing.T) {
	body := &countingReader{r: forever{}}
	r := tokenPost("")
	r.Body, r.ContentLength = body, DefaultBodyLimit+1
	w := serveOne(t, r, func(*Config) {})
	if w.Code != 413 || body.n != 0 {
		t.Errorf("%d after %d octets", w.Code, body.n)
	}
}

func TestTOK10_TheBoundItself(t *testing.T) {
	for extra, want := range map[int]int{0: 200, 1: 413} {
		for _, declared := range []bool{true, false} {
			body := b0 + "&x="
			body += strings.Repeat("y", DefaultBodyLimit-len(body)+extra)
			r := tokenPost(body)
			if !declared {
				r.Body, r.ContentLength = io.NopCloser(iotest.OneByteReader(strings.NewReader(body))), -1
			}
			w := serveOne(t, r, answering(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil }))
			if w.Code != want {
				t.Errorf("%d octets, declared %v: %d", len(body), declared, w.Code)
			}
		}
	}
}

func TestToken_ABodyThatBreaksOff(t *testing.T) {
	r := tokenPost("")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(b0), iotest.ErrReader(errors.New("reset")))), -1
	w := serveOne(t, r, answering(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil }))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "invalid_request") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Nothing of one request may be seen by the next, although their memory is the same.
func TestToken_ReusedMemoryIsWiped(t *testing.T) {
	c := testConfig(t)
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	used := h.calls.New().(*call)
	used.in, used.out = append(used.in, "client_secret=s"...), append(used.out, "token"...)
	in, out := used.in[:cap(used.in)], used.out[:cap(used.out)]
	h.release(used)
	if strings.Trim(string(in), "\x00") != "" || strings.Trim(string(out), "\x00") != "" {
		t.Error("something was left behind")
	}
}

type forever struct{}

func (forever) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
