// Package door is the HTTP port of a queen or a hive as a crowd meets it: how many connections
// may be open at once, and who goes when one more comes.
//
// A listener that stops accepting at its limit lets whoever came first keep everybody else out.
// Here the newcomer is let in and the connection that has waited longest without a request in
// work is closed, of the remote host that has most of those: who opens ten thousand connections
// closes his own. Where every connection has a request in work a few more are let in to be told
// so (Crowded), and the rest are closed unanswered.
//
// Concurrency: everything is safe for concurrent use; nothing here starts a goroutine.
package door
