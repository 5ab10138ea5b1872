package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// mostLag is for how many seconds a replica may have been silent, and still count as connected: it reports every
// second. A primary that is cut off keeps a replica in its list until repl-timeout, 60 s by default.
const mostLag = 5

var (
	// errReplica says that a server answers which has become a replica. It may lack what was acknowledged by the
	// primary, such as a revocation.
	errReplica = fmt.Errorf("the server has become a replica: %w", ErrUnreachable)

	// errAlone says that a primary answers which may have been replaced, and may lack what was acknowledged since.
	errAlone = errors.New("the primary has lost its replicas, and may have been replaced")
)

// companions is how many replicas a primary must have to be believed: half of those that a write waits for, rounded
// up. Somewhere else there may be another primary, but not one with as many replicas as its writes wait for, unless
// there are more than Replicas and half as many in all. 0 if writes wait for none: then nothing can be known.
func (c Config) companions() int { return (c.Replicas + 1) / 2 }

// judgePrimary reads what INFO says of replication. The error is errReplica, or errAlone, an ErrUnreachable; nil if
// the server is a primary that can be believed.
func (c Config) judgePrimary(said string) error {
	isPrimary, there := false, 0
	for line := range strings.SplitSeq(said, "\n") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); {
		case name == "role":
			isPrimary = value == "master"
		case strings.HasPrefix(name, "slave") && isConnected(value):
			there++
		}
	}
	switch need := c.companions(); {
	case !isPrimary:
		return errReplica
	case there < need:
		return fmt.Errorf("%w: %d of them report to it, and with durability.replicas %d it is believed with %d: %w", errAlone, there, c.Replicas, need, ErrUnreachable)
	}
	return nil
}

// isConnected reads a replica's line: ip=…,port=…,state=online,offset=…,lag=0.
func isConnected(replica string) bool {
	online, lag := false, mostLag+1
	for field := range strings.SplitSeq(replica, ",") {
		switch name, value, _ := strings.Cut(field, "="); name {
		case "state":
			online = value == "online"
		case "lag":
			if n, err := strconv.Atoi(value); err == nil {
				lag = n
			}
		}
	}
	return online && lag <= mostLag
}
