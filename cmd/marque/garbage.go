package main

import "runtime"

// garbageRoom is how much more garbage may pile up before it is collected, in octets.
const garbageRoom = 4 << 20

// makeRoom lets the garbage collector run seldom in a server that holds little. The collector's rule is to let as much
// garbage pile up as there is memory in use, and at least 4 MiB in all: a server that holds 1.5 MiB collects twenty times a
// second under load, for a tenth of the CPU time of a token.
//
// It holds memory that nobody touches: the collector counts it, while the system never has to provide it. What that
// costs is garbageRoom of garbage, however much the server holds; GOGC=200 would cost as much again as it holds.
// GOGC and GOMEMLIMIT are obeyed as ever. The room is held until release is called.
func makeRoom() (release func()) {
	room := make([]byte, garbageRoom)
	return func() { runtime.KeepAlive(room) }
}
