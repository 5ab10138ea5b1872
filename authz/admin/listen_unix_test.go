//go:build unix

package admin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestListenUnix_Mode(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		path := filepath.Join(shortDir(t), "admin.sock")
		before := syscall.Umask(umask) // of the whole process: this test is not parallel
		l, err := ListenUnix(path)
		syscall.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("umask %04o: mode = %v, %v", umask, info.Mode(), err)
		}
		connect(t, path)
		l.Close()
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func connect(t *testing.T, path string) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// Between bind, which makes the socket with the umask's mode, and chmod, nobody gets in: the socket does
// not listen yet.
func TestListenUnix_NoWindow(t *testing.T) {
	fd, err := openSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	path := filepath.Join(shortDir(t), "s")
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		t.Error("a socket that does not listen let a connection in")
	}
}

func TestListenUnix_LongPath(t *testing.T) {
	dir := shortDir(t)
	fill := func(n int) string { return filepath.Join(dir, strings.Repeat("x", n-len(dir)-1)) }
	l, err := ListenUnix(fill(MaxSocketPath))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect(t, fill(MaxSocketPath))
	_, err = ListenUnix(fill(MaxSocketPath + 1))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxSocketPath+1, " bytes")) || !strings.Contains(err.Error(), fmt.Sprint("at most ", MaxSocketPath)) {
		t.Errorf("err = %v", err)
	}
}

func TestListenUnix_ReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "admin.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as kill -9 would leave it
	stale.Close()
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect(t, path)
	if info, _ := os.Lstat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v", info.Mode())
	}
}

func TestListenUnix_RemovesNothingElse(t *testing.T) {
	dir := shortDir(t)
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	link, folder := filepath.Join(dir, "link"), filepath.Join(dir, "folder")
	if err := os.Symlink(precious, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{precious, link, folder, "", "@abstract", "\x00abstract", filepath.Join(dir, "missing", "s"), filepath.Join(dir, "a\x00b")} {
		if l, err := ListenUnix(path); err == nil {
			l.Close()
			t.Errorf("listens on %q", path)
		}
	}
	for _, path := range []string{precious, link, folder} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
	if info, _ := os.Stat(precious); info.Mode().Perm() != 0o644 {
		t.Errorf("the mode of another file was changed: %v", info.Mode())
	}
}

func TestListenUnix_CloseSparesTheSuccessor(t *testing.T) {
	path := filepath.Join(shortDir(t), "admin.sock")
	old, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	next, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	old.Close()
	connect(t, path)
	if err := old.Close(); err == nil {
		t.Error("closing again is no error, but net's listeners make it one")
	}
}
