//go:build !unix

package admin

import (
	"errors"
	"net"
)

// MaxSocketPath is the most octets that the path of a unix socket can have.
const MaxSocketPath = 107

// ListenUnix refuses: this operating system does not say who is at the other end of a socket.
func ListenUnix(string) (net.Listener, error) {
	return nil, errors.New("admin: there is no admin socket on this operating system")
}
