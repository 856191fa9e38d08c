// Package house is the rules of the house as tests: which room may import which, what PURE
// means, what is never called, how things are named, how long a file may be. It holds no code.
//
// The tests read the repository with go/parser, so they hold for files of every platform and
// for rooms that do not exist yet. To add a rule: a check over []source in house_test.go, and
// a case in TestTheRulesBite that shows it failing.
package house
