// Package redistest runs real Redis servers for tests: one alone ([Start]), with replicas
// ([StartReplica]), watched by Sentinel ([StartSentinel]), as a Cluster ([StartCluster]), and a proxy
// that breaks the connections to any of them ([StartProxy]).
//
// Every process listens on loopback, in a folder of its own, and ends with the test, however that ends.
// What goes wrong here ends the test by Fatal, with the end of the server's log; so call everything
// from the test's own goroutine. Others may use Addr, Dir and LogTail of a [Server] at the same time, the
// clients that it gave, and a [Proxy], as it says.
//
// Without a redis-server on the PATH tests are skipped, or fail where CI is set: see [Require].
package redistest
