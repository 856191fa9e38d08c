// Package version says which build this is: every binary's --version and every log's first line.
//
// The linker sets the variables (see the Makefile); a binary built by a plain `go build` or
// `go install` falls back to what the toolchain recorded. Nothing here changes after init, so
// it is safe from any goroutine.
package version
