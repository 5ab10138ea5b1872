//go:build unix

package admin

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// Whoever cannot be named gets nothing, not even the knowledge of which paths exist.
func TestActor_UnknownIsRefused(t *testing.T) {
	for name, connContext := range map[string]func(context.Context, net.Conn) context.Context{
		"no ConnContext": nil, "over TCP": ConnContext,
	} {
		t.Run(name, func(t *testing.T) {
			h, err := New(Config{
				Registry: broken{}, Tokens: &authz.Server{}, Keys: nobody{}, Refusals: authz.NewRefusals(), Log: slog.New(slog.DiscardHandler),
				Status: func() Status { panic("must not be asked") },
				Doctor: func(context.Context) ([]Finding, error) { panic("must not be asked") },
				Backup: func(context.Context, audit.Origin) (Backup, error) { panic("must not be asked") },
			})
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewUnstartedServer(h)
			srv.Config.ConnContext = connContext
			srv.Start()
			t.Cleanup(srv.Close)
			for _, path := range []string{"/admin/v1/keys", "/admin/v1/clients/x", "/nowhere"} {
				resp, err := http.Get(srv.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				a := answer{t, resp.StatusCode, resp.Header, body}
				a.want(403).checkManners()
			}
		})
	}
}

// nobody is a key ring that must not be asked.
type nobody struct{ Keys }

// The actor is who connected, not who listens: a child process of another user asks, and only after the
// mode of the socket was loosened for this test; before that the kernel keeps it out.
func TestActor_IsTheOtherUser(t *testing.T) {
	if os.Getenv("MARQUE_TEST_SOCKET") != "" {
		askAsChild(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start a process as another user")
	}
	s := startWithClient(t)
	if err := os.Chmod(filepath.Dir(s.socket), 0o755); err != nil {
		t.Fatal(err)
	}
	program := childProgram(t)
	if out, err := runAs(t, program, s.socket, 65534); err == nil {
		t.Fatalf("another user connected to a socket of mode 0600: %s", out)
	} else if !strings.Contains(out, "permission denied") {
		t.Fatalf("the child failed for another reason: %v %s", err, out)
	}
	if err := os.Chmod(s.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := runAs(t, program, s.socket, 65534); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := s.lastEntry("client.disable").Actor.String(); got != "uid:65534" {
		t.Errorf("actor = %s, want uid:65534", got)
	}
}

// childProgram copies the test binary to where another user may run it.
func childProgram(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("cannot find the test binary")
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "child")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func runAs(t *testing.T, program, socket string, uid uint32) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestActor_IsTheOtherUser$")
	cmd.Env = []string{"MARQUE_TEST_SOCKET=" + socket}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func askAsChild(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", os.Getenv("MARQUE_TEST_SOCKET"))
	}}}
	resp, err := client.Post("http://localhost/admin/v1/clients/acme/disable", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status = %d", resp.StatusCode)
	}
}
