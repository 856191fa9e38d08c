// Command rbee-keeper is the command line of users and operators: it runs prompts, shows and
// changes what the cluster has, and runs whole clusters on one machine (dev, demo).
//
// The commands are thin: client speaks to the queens and survives their deaths, batch runs
// files of tasks, local runs processes, and the files here turn flags into calls and answers into tables.
//
// What holds for all commands: results go to stdout, everything else to stderr; with -o json
// or yaml the queens' own answer is printed whole; the exit code is 0 when it worked, 1 when
// it failed, 2 for a mistake on the command line, 3 when no queen could be reached.
//
// To add a command: a file of its name with a function that returns its *cobra.Command, one
// line in root.go; a table's columns stand beside the command that prints it; a hint for an
// error code goes to exit.go; what its arguments and flags may be, to completion.go.
package main
