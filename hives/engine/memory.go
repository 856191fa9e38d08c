package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/device"
)

// noMemory are words, in lower case, with which engines say that memory was not enough: those
// of CUDA, HIP, Vulkan and Metal as llama.cpp passes them on, of PyTorch, of vLLM, of libc.
var noMemory = []string{
	"out of memory",
	"outofmemory",         // torch.OutOfMemoryError, vk::OutOfDeviceMemoryError
	"erroroutofdevicemem", // ErrorOutOfDeviceMemory
	"failed to allocate",  // ggml: "failed to allocate CUDA0 buffer of size N"
	"unable to allocate",
	"cannot allocate memory",
	"no available memory for the cache blocks", // vLLM
	"insufficient memory",
}

// saysNoMemory returns the first of the lines that says that memory was not enough.
func saysNoMemory(lines []string) (string, bool) {
	for _, line := range lines {
		lower := strings.ToLower(line)
		for _, words := range noMemory {
			if strings.Contains(lower, words) {
				return strings.TrimSpace(line), true
			}
		}
	}
	return "", false
}

// judge finds out whether a process died by itself of too little memory. A load that did is not simply
// tried again: the cluster makes room first. free is what its device had before, -1 if unknown.
// killed: the system has ended it at the limit of its cgroup.
func (w *Worker) judge(v verdict, loading bool, free int64, killed bool) verdict {
	line, said := saysNoMemory(w.log.sinceStart())
	if v.clean || v.killed || !said && !killed {
		return v
	}
	var parts []string
	if need := w.launch.Model.VRAMBytes; need > 0 {
		parts = append(parts, fmt.Sprintf("it is taken to need %s", gib(need)))
	}
	if free >= 0 {
		parts = append(parts, fmt.Sprintf("%s of %s were free before it", gib(free), w.launch.Device))
	}
	if killed {
		parts = append(parts, fmt.Sprintf("the system ended it at its limit of %s", gib(int64(w.launch.Definition.Limits.Memory))))
	}
	if said {
		parts = append(parts, fmt.Sprintf("it said: %.300s", line))
	}
	v.code = hives.CodeOutOfMemory
	v.why = fmt.Sprintf("out of memory on %s (%s): %s", w.launch.Device, strings.Join(parts, "; "), v.why)
	v.final = loading
	return v
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// freeNow asks how much is free on the worker's device; -1 when nothing can tell soon.
func (w *Worker) freeNow(ctx context.Context) int64 {
	if w.options.Free == nil {
		return -1
	}
	ctx, cancel := context.WithTimeout(ctx, w.timing.memoryAsk)
	defer cancel()
	if n, ok := w.options.Free(ctx); ok {
		return n
	}
	return -1
}

// memoryBack begins to watch for the memory of a process that is about to end, or has. What it
// returns waits until the device shows most of it as free: a driver takes its time after a
// process is gone, and who starts the next one sooner finds too little. The system's own memory
// is free when the process is.
func (w *Worker) memoryBack(stop bool, freeBefore int64) (wait func()) {
	need := w.launch.Model.VRAMBytes
	if need <= 0 || w.options.Free == nil || w.launch.Device == device.CPU {
		return func() {}
	}
	target := freeBefore - need/4 // it has died: its device as it was before it, nearly
	if stop {
		free := w.freeNow(context.Background())
		if freeBefore = free; free >= 0 {
			target = free + need*3/4
		}
	}
	if freeBefore < 0 {
		return func() {}
	}
	return func() { w.awaitMemory(target) }
}

// awaitMemory waits until so much is free on the device, for a while.
func (w *Worker) awaitMemory(target int64) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), w.timing.memoryWait)
	defer cancel()
	tick := time.NewTicker(w.timing.memoryPoll)
	defer tick.Stop()
	for {
		free := w.freeNow(ctx)
		if free >= target {
			w.logger.Debug("device has its memory back", "device", w.launch.Device, "free", free, "after", time.Since(began))
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.logger.Warn("device does not show the memory of an ended engine as free", "device", w.launch.Device, "free", free, "expected", target, "after", w.timing.memoryWait)
			return
		}
	}
}
