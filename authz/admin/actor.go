package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/marque-auth/marque/authz/audit"
)

// peer is who is at the other end of a connection, or why that is unknown.
type peer struct {
	uid uint32
	err error
}

// peerKey is the context key of the peer of the connection.
type peerKey struct{}

// ConnContext asks the kernel, once for a connection, which user is at its other end, and keeps the
// answer for the handler of [New]. It is the ConnContext of the http.Server on the unix socket.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	uid, err := peerUID(c)
	return context.WithValue(ctx, peerKey{}, peer{uid, err})
}

var errNoPeer = errors.New("no peer credentials: the server was started without admin.ConnContext")

// peerOf returns the actor at the other end of the connection that ctx belongs to. An error means
// unknown, and nothing may be done for a caller who is unknown.
func peerOf(ctx context.Context) (audit.Actor, error) {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return audit.Actor{}, errNoPeer
	}
	if p.err != nil {
		return audit.Actor{}, p.err
	}
	return audit.Actor{Kind: audit.ActorUID, ID: strconv.FormatUint(uint64(p.uid), 10)}, nil
}

// peerUID returns the user id of the process that connected c, a unix connection.
func peerUID(c net.Conn) (uint32, error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("peer credentials of a %T: it is no unix connection", c)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("peer credentials: %w", err)
	}
	var uid uint32
	var optErr error
	if err := raw.Control(func(fd uintptr) { uid, optErr = peerUIDOf(int(fd)) }); err != nil {
		return 0, fmt.Errorf("peer credentials: %w", err)
	}
	if optErr != nil {
		return 0, fmt.Errorf("peer credentials: %w", optErr)
	}
	return uid, nil
}
