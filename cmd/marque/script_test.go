package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/marque-auth/marque/keys/jose"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"marque": main, followerName: followerMain})
}

// TestScript runs the real program as its users do: every file in testdata/script is a story.
func TestScript(t *testing.T) {
	testscript.Run(t, scripts("testdata/script", func(*testscript.Env) {}))
}

// scripts is how the stories of a folder are run; setup adds to what each of them finds.
func scripts(dir string, setup func(env *testscript.Env)) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			ports, err := freePorts(2)
			if err != nil {
				return err
			}
			env.Setenv("LISTEN", ports[0])
			env.Setenv("ADMIN", ports[1])
			env.Setenv("ADMIN_PORT", ports[1][strings.LastIndex(ports[1], ":")+1:])
			env.Setenv("HOME", env.WorkDir)
			setup(env)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":    scriptCode,
			"ready":   scriptReady,
			"waiting": scriptWaiting,
			"mode":    scriptMode,
			"status":  scriptStatus,
			"shape":   scriptShape,
			"take":    scriptTake,
			"active":  scriptActive,
			"alter":   scriptAlter,
			"newkey":  scriptNewKey,
		},
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(12 * time.Minute), // of all together, on a busy machine: a server that should have refused to start ends here
	}
}

// freePorts returns loopback addresses that nobody listens on. All are taken at once before they are
// let go, so that they differ.
func freePorts(n int) ([]string, error) {
	var addresses []string
	var taken []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		taken = append(taken, l)
		addresses = append(addresses, l.Addr().String())
	}
	for _, l := range taken {
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// code N command…: the command must end with exit code N.
func scriptCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// ready ADDRESS: waits until /readyz there says yes.
func scriptReady(ts *testscript.TestScript, _ bool, args []string) {
	scriptReadyz(ts, args[0], http.StatusOK)
}

// waiting ADDRESS: waits until /readyz there says no.
func scriptWaiting(ts *testscript.TestScript, _ bool, args []string) {
	scriptReadyz(ts, args[0], http.StatusServiceUnavailable)
}

func scriptReadyz(ts *testscript.TestScript, address string, want int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		ts.Check(err)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
			if resp.StatusCode == want {
				return
			}
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s/readyz did not become %d", address, want)
		case <-tick.C:
		}
	}
}

// mode 0600 FILE…: the files must have exactly this mode.
func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, file := range args[1:] {
		info, err := os.Lstat(ts.MkAbs(file))
		ts.Check(err)
		if got := info.Mode().Perm(); got != fs.FileMode(want) {
			ts.Fatalf("%s has mode %04o, want %04o", file, got, want)
		}
	}
}

// status CODE URL [Host]: GET must be answered with this status.
func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	r, err := http.NewRequest(http.MethodGet, args[1], nil)
	ts.Check(err)
	if len(args) > 2 {
		r.Host = args[2]
	}
	resp, err := http.DefaultClient.Do(r)
	ts.Check(err)
	resp.Body.Close()
	if got := fmt.Sprint(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s answered %s, want %s", args[1], got, args[0])
	}
}

// newkey ALGORITHM PRIVATE PUBLIC: makes a key pair as another server would, in two PEM files.
func scriptNewKey(ts *testscript.TestScript, _ bool, args []string) {
	key, err := jose.GenerateKey(jose.Algorithm(args[0]))
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	ts.Check(err)
	for i, b := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: private}, {Type: "PUBLIC KEY", Bytes: public}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[1+i]), pem.EncodeToMemory(b), 0o600))
	}
}

// shape FILE object|array [member…]: the file is one JSON value, an object with exactly these
// members, or an array whose first element is.
func scriptShape(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	object := map[string]json.RawMessage{}
	switch args[1] {
	case "object":
		ts.Check(json.Unmarshal([]byte(text), &object))
	case "array":
		var list []map[string]json.RawMessage
		ts.Check(json.Unmarshal([]byte(text), &list))
		if list == nil {
			ts.Fatalf("null is no array")
		}
		if len(list) > 0 {
			object = list[0]
		}
	}
	var got []string
	for name := range object {
		got = append(got, name)
	}
	want := slices.Clone(args[2:])
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		ts.Fatalf("members %v, want %v", got, want)
	}
}

// active yes|no FILE ADDRESS ID SECRET: introspection there must say so of the token in the file, to the
// client that asks.
func scriptActive(ts *testscript.TestScript, _ bool, args []string) {
	form := url.Values{"token": {strings.TrimSpace(ts.ReadFile(args[1]))}, "client_id": {args[3]}, "client_secret": {args[4]}}
	resp, err := http.PostForm("http://"+args[2]+"/oauth2/introspect", form)
	ts.Check(err)
	defer resp.Body.Close()
	var answer struct {
		Active *bool `json:"active"`
	}
	ts.Check(json.NewDecoder(resp.Body).Decode(&answer))
	if answer.Active == nil || *answer.Active != (args[0] == "yes") {
		ts.Fatalf("introspection answered %s, active %v; want %s", resp.Status, answer.Active, args[0])
	}
}

// alter FILE OLD NEW: puts NEW in place of OLD, which is as long, wherever it is in the file.
func scriptAlter(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	text, err := os.ReadFile(file)
	ts.Check(err)
	if len(args[1]) != len(args[2]) || !bytes.Contains(text, []byte(args[1])) {
		ts.Fatalf("%s does not hold %q, or its substitute is of another length", file, args[1])
	}
	ts.Check(os.WriteFile(file, bytes.ReplaceAll(text, []byte(args[1]), []byte(args[2])), 0o600))
}

// take FILE MEMBER VARIABLE: puts a member of a JSON object, or of the first one of an array, into a
// variable; without a member, the whole file.
func scriptTake(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if len(args) == 2 {
		ts.Setenv(args[1], strings.TrimSpace(text))
		return
	}
	var object map[string]any
	if strings.HasPrefix(text, "[") {
		var list []map[string]any
		ts.Check(json.Unmarshal([]byte(text), &list))
		object = list[0]
	} else {
		ts.Check(json.Unmarshal([]byte(text), &object))
	}
	ts.Setenv(args[2], fmt.Sprint(object[args[1]]))
}
