package admin

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTCP(t *testing.T) {
	h, err := NewTCP(TCPConfig{Hosts: []string{"admin.example", "192.0.2.7", "2001:db8::7", "UPPER.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, status := range map[string]int{
		"localhost": 401, "LOCALHOST:8081": 401, "127.0.0.1:8081": 401, "127.8.9.10": 401, "[::1]:8081": 401, "[::1]": 401, "::1": 401,
		"[::ffff:127.0.0.1]:1": 401, "admin.example": 401, "Admin.Example:8081": 401, "192.0.2.7:8081": 401, "[2001:db8::7]:8081": 401, "upper.example": 401,
		"": 421, "evil.example": 421, "evil.example:8081": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "192.0.2.8": 421,
		"admin.example.": 421, "localhost:x": 421, "localhost:": 421, "a@localhost": 421, "localhost/": 421, "[::1": 421, "[]": 421, "[::1%lo]": 421,
		"0.0.0.0": 421, "[::]": 421, "2130706433": 421, "0177.0.0.1": 421,
	} {
		for _, path := range []string{"/admin/v1/keys", "/", "/admin/v1/clients"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			r.Header.Set("Authorization", "Bearer x")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			a := answer{t, w.Code, w.Header(), w.Body.Bytes()}
			a.checkManners()
			if w.Code != status {
				t.Errorf("Host %q: status = %d, want %d", host, w.Code, status)
			}
			if got := w.Header().Get("WWW-Authenticate"); (got == `Bearer realm="marque-admin"`) != (status == 401) {
				t.Errorf("Host %q: WWW-Authenticate = %q", host, got)
			}
		}
	}
}

func TestTCP_Config(t *testing.T) {
	for _, bad := range []string{"", "a:80", "https://a.example", "a/b", "a b@c", "[::1]:80"} {
		if _, err := NewTCP(TCPConfig{Hosts: []string{"ok.example", bad}}); err == nil || !strings.Contains(err.Error(), "TCPConfig.Hosts") {
			t.Errorf("Hosts %q: %v", bad, err)
		}
	}
}
