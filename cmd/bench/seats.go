package main

import "fmt"

// seats says which core each side sits on: the servers, of which only one works at a time, and the
// load. Where there are not two cores, or no way to choose, nobody is seated and the system decides.
type seats struct {
	server, load int
	taken        bool
}

func (s seats) String() string {
	if !s.taken {
		return "not pinned to cores: expect more noise"
	}
	return fmt.Sprintf("server on core %d, load on core %d", s.server, s.load)
}
