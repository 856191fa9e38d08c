package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/rbee-keeper/client"
)

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exit tells what went wrong, with a hint where there is one, and returns the exit code.
func (k *keeper) exit(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[*shown](err); ok {
		return exitFailed
	}
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	k.say("rbee-keeper: %v", err)
	if hint := hintFor(err); hint != "" {
		k.say("hint: %s", hint)
	}
	if u, ok := errors.AsType[*usageError](err); ok {
		if u.command != nil {
			k.say("see: %s --help", u.command.CommandPath())
		}
		return exitUsage
	}
	if _, ok := errors.AsType[*settings.Error](err); ok || !k.running {
		return exitUsage
	}
	if _, ok := errors.AsType[*client.Unreachable](err); ok {
		return exitUnreachable
	}
	return exitFailed
}

// shown is a failure that has been told already.
type shown struct{}

func (*shown) Error() string { return "failed" }

// hints say what a person can do about a code.
var hints = map[string]string{
	"unauthenticated":    "give a key with --api-key or RBEE_API_KEY; the first queen wrote one to admin.key in its data directory",
	"forbidden":          "this needs the key of an admin",
	"no_leader":          "a majority of the queens must be alive to change anything: rbee-keeper queens list",
	"model_not_found":    "rbee-keeper models list shows what can be asked",
	"no_hive_fits":       "rbee-keeper hives list shows what the hives have",
	"model_loading":      "rbee-keeper models show MODEL shows how far it is",
	"unknown_outcome":    "it may have been done: look before doing it again, or repeat it with the same --idempotency-key",
	"output_expired":     "the hive keeps the output of ended jobs for a limited time only",
	"system_at_capacity": "rbee-keeper status shows what is busy; --detach does not wait for output, but needs room in the queue too",
}

func hintFor(err error) string {
	if _, ok := errors.AsType[*client.Unreachable](err); ok {
		return "name a living queen with --queen or RBEE_QUEENS; rbee-keeper dev starts a cluster on this machine"
	}
	if _, ok := errors.AsType[*client.Uncertain](err); ok {
		return hints["unknown_outcome"]
	}
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return ""
	}
	hint := hints[e.Code]
	if e.RetryAfter > 0 {
		again := fmt.Sprintf("try again in %s", max(time.Second, e.RetryAfter.Round(time.Second)))
		hint = strings.TrimPrefix(hint+"; "+again, "; ")
	}
	return hint
}
