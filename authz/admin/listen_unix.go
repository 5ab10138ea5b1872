//go:build unix

package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketMode lets the server's user in, and root; nobody else.
const socketMode = 0o600

// MaxSocketPath is the most octets that the path of a unix socket can have here; 107 on Linux.
const MaxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// ListenUnix listens on a unix socket at path that only the caller's user, and root, can connect to. A
// socket that lies there already is replaced, so the caller must hold the lock of the store, which says
// that no other server runs in that folder; anything else there is an error. Closing the listener removes
// the socket, unless another one has taken its place.
//
// There is no instant in which others can connect, whatever the umask: between bind and listen a
// connection is refused, and the mode is set in between. (Setting the umask would do too, but it is the
// whole process's, and other goroutines create files.)
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > MaxSocketPath {
		return nil, fmt.Errorf("admin: the path of the admin socket has %d bytes and can have at most %d; choose a shorter data folder: %q", len(path), MaxSocketPath, path)
	}
	if path == "" || path[0] == '@' || path[0] == 0 { // abstract sockets have no mode
		return nil, fmt.Errorf("admin: %q cannot be the path of the admin socket", path)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("admin: stale admin socket: %w", err)
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("admin: listen on %q: %w", path, err)
	}
	return l, nil
}

// removeStale removes the socket at path, if there is one. It removes nothing else: a path that was
// mistyped must not cost a file.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%q exists and is no socket", path)
	}
	return os.Remove(path)
}

func listenPrivately(path string) (net.Listener, error) {
	fd, err := openSocket()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // net.FileListener has its own copy
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l, err := open(file, path)
	if err != nil {
		_ = os.Remove(path) // ours: bind made it
		return nil, err
	}
	return l, nil
}

// openSocket makes a stream socket that child processes do not inherit.
func openSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// open makes the bound socket private, looks that it is, and only then lets connections in.
func open(file *os.File, path string) (net.Listener, error) {
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode() != fs.ModeSocket|socketMode {
		return nil, fmt.Errorf("its mode is %v and should be %v: this file system cannot hold a private socket", info.Mode(), fs.ModeSocket|socketMode)
	}
	if err := unix.Listen(int(file.Fd()), unix.SOMAXCONN); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return &unixListener{Listener: l, path: path, made: info}, nil
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	net.Listener
	path string
	made fs.FileInfo // the socket as it was made
	once sync.Once
}

// Close stops listening and removes the socket, unless the server that came after us, and took our stale
// socket's place, listens there.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			_ = os.Remove(l.path) // else it is stale, and replaced at the next start
		}
	})
	return l.Listener.Close()
}
