package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystem is what a folder lies on.
type fileSystem struct {
	kind    string
	memory  bool   // gone when the machine stops
	network bool   // others may write to it, and locks may not hold
	free    uint64 // bytes that an ordinary user can still write
}

// fileSystems names the kinds that people keep data on: linux/magic.h.
var fileSystems = map[uint32]fileSystem{
	unix.TMPFS_MAGIC:           {kind: "tmpfs", memory: true},
	unix.RAMFS_MAGIC:           {kind: "ramfs", memory: true},
	unix.NFS_SUPER_MAGIC:       {kind: "nfs", network: true},
	unix.SMB_SUPER_MAGIC:       {kind: "smb", network: true},
	unix.CIFS_SUPER_MAGIC:      {kind: "cifs", network: true},
	unix.SMB2_SUPER_MAGIC:      {kind: "smb2", network: true},
	unix.CEPH_SUPER_MAGIC:      {kind: "ceph", network: true},
	unix.AFS_SUPER_MAGIC:       {kind: "afs", network: true},
	unix.V9FS_MAGIC:            {kind: "9p", network: true},
	unix.FUSE_SUPER_MAGIC:      {kind: "fuse"},
	unix.EXT4_SUPER_MAGIC:      {kind: "ext4"},
	unix.XFS_SUPER_MAGIC:       {kind: "xfs"},
	unix.BTRFS_SUPER_MAGIC:     {kind: "btrfs"},
	unix.OVERLAYFS_SUPER_MAGIC: {kind: "overlayfs, as in a container without a volume"},
}

// fileSystemOf returns what a folder lies on, if that can be said.
func fileSystemOf(dir string) (fileSystem, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fileSystem{}, false
	}
	kind, known := fileSystems[uint32(s.Type)]
	if !known {
		kind.kind = fmt.Sprintf("a file system of type %#x", uint32(s.Type))
	}
	kind.free = s.Bavail * uint64(s.Bsize)
	return kind, true
}
