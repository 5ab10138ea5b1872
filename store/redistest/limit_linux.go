package redistest

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LimitFiles lets no file of the running process be written beyond that many octets from its start, as if the disk were
// full: the system says EFBIG instead of ENOSPC. math.MaxUint64 ends it, as does the next start.
func (s *Server) LimitFiles(octets uint64) {
	s.t.Helper()
	var l unix.Rlimit
	pid := s.proc.cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &l); err != nil {
		s.fatal(err)
	}
	l.Cur = min(octets, l.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &l, nil); err != nil {
		s.fatal(err)
	}
}

// AppendOnlyFile is the file to which the server appends now.
func (s *Server) AppendOnlyFile() string {
	s.t.Helper()
	files, err := filepath.Glob(s.path("appendonlydir/*.incr.aof"))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("append-only files %q, %v", files, err)
	}
	return files[0]
}
