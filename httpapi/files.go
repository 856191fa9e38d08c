package httpapi

import (
	"cmp"
	"syscall"
)

// openFiles is how many files and sockets this process may have open.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1 << 30
	}
	return int(min(l.Cur, 1<<30))
}

// maxIdle is how many connections may be open beside those that stream.
const maxIdle = 8192

// within bounds streams and connections by the open files there can be, so that a stream is
// refused before an accept or a log file is: a stream takes two, its client's connection and
// its hive's. No wish for connections is streams and maxIdle. An eighth stays for everything else.
func within(files, streams, connections int) (maxStreams, maxConns int) {
	maxStreams = max(1, min(streams, files*3/8))
	return maxStreams, max(2, min(cmp.Or(connections, maxStreams+maxIdle), files/2))
}
