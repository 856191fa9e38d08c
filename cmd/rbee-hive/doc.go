// rbee-hive is the agent on a GPU machine.
//
// Serve (serve.go) is the whole program as a value: ParseFlags, Validate, Run. main only gives
// it arguments and a context; what it does is in package hives/agent.
//
// To add a flag: options.go (field, line in flags), and its use in Serve.config.
package main
