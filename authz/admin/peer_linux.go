package admin

import "golang.org/x/sys/unix"

// peerUIDOf reads SO_PEERCRED: the credentials that the peer had when it connected (unix(7)).
func peerUIDOf(fd int) (uint32, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
