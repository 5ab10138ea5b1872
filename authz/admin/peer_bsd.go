//go:build darwin || freebsd

package admin

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// peerUIDOf reads LOCAL_PEERCRED: the effective credentials that the peer had when it connected.
func peerUIDOf(fd int) (uint32, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	if cred.Version != 0 { // XUCRED_VERSION; another one has another layout
		return 0, fmt.Errorf("xucred of version %d", cred.Version)
	}
	return cred.Uid, nil
}
