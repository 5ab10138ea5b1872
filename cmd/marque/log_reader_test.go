package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever reads the log may go away, and the next line must not end the server (SIGPIPE).
func TestServe_OutlivesTheReaderOfItsLog(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.MkdirTemp("", "marque-log-") // a short path, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = []string{"marque", "serve", "--dev", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", ""}
	cmd.Env = append(os.Environ(), "HOME="+data)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	issuer := ""
	for lines := bufio.NewScanner(log); issuer == "" && lines.Scan(); {
		if m := regexp.MustCompile(`msg=ready issuer=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			issuer = m[1]
		}
	}
	if issuer == "" {
		t.Fatal("not ready")
	}
	log.Close()
	client := &http.Client{Timeout: 10 * time.Second}
	for range 3 { // each is a line of the log
		r, err := client.Post(issuer+"/oauth2/token", "application/x-www-form-urlencoded", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusUnauthorized {
			t.Fatalf("status %d", r.StatusCode)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
