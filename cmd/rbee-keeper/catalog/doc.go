// Package catalog reads a file of models, as `rbee-keeper apply` takes it, and tells what would
// have to change for a cluster's catalog to be like it. It is pure: the file's bytes and the
// cluster's answers in, changes out.
//
// A file is declarative: what an entry does not say is as if it said the default. Whatever is
// wrong with it is told with its line.
//
// To add a field: a line in fields (fields.go), which the queens' PUT /v2/models/{ref} takes.
package catalog
