package models

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	gguf "github.com/gpustack/gguf-parser-go"

	"queen-rbee/hives"
)

// Memory is what a model takes of one device, in bytes.
type Memory struct {
	Weights  int64
	KV       int64 // the cache of all slots
	Overhead int64 // of computing, and of the engine itself
}

// Inspection is what can be told of a model before it is here.
type Inspection struct {
	Bytes        int64
	Digest       string // "sha256:hex"; empty: the source does not say
	Files        []string
	Architecture string // empty: no GGUF
	ContextMax   int64  // tokens the model was trained for; 0 not known
	Memory       Memory
}

// unknownOverhead is the part of its size that a model of another format is taken to need
// besides: what is left to a guess errs to the large side.
const unknownOverhead = 10

// guess is the memory of a model that is known by its size alone.
func guess(size int64) Memory { return Memory{Weights: size, Overhead: size / unknownOverhead} }

// estimate reads headers that copyHeader has written, at the length of their files, and tells
// what slots of so many tokens each take (0: one slot; as many as the model was trained for).
// All layers are on one device, and the engine keeps a cache of its own for each slot.
func estimate(first string, slots, context int64) (in Inspection, err error) {
	defer func() {
		if r := recover(); r != nil { // the parser panics on sums that no header should have
			err = hives.Errorf(hives.CodeInvalid, "the GGUF header makes no sense: %v", r)
		}
	}()
	f, err := gguf.ParseGGUFFile(first, gguf.SkipLargeMetadata())
	if err != nil {
		return in, hives.Errorf(hives.CodeInvalid, "the GGUF header cannot be read: %v", err)
	}
	a := f.Architecture()
	in.Architecture, in.ContextMax = a.Architecture, int64(min(a.MaximumContextLength, math.MaxInt32))
	slots = max(slots, 1)
	if context <= 0 {
		context = in.ContextMax
	}
	tokens := slots * context
	if slots > math.MaxInt32 || context > math.MaxInt32 || tokens > math.MaxInt32 {
		return in, hives.Errorf(hives.CodeInvalid, "%d slots of %d tokens are more than an engine can have", slots, context)
	}
	run := f.EstimateLLaMACppRun(gguf.WithLLaMACppContextSize(int32(tokens)), gguf.WithParallelSize(int32(slots)))
	for _, d := range run.Devices {
		weights, e1 := size(d.Weight.Sum())
		kv, e2 := size(d.KVCache.Sum())
		rest, e3 := size(d.Footprint + d.Computation.Sum())
		if err := errors.Join(e1, e2, e3); err != nil {
			return in, err
		}
		in.Memory.Weights += weights
		in.Memory.KV += kv
		in.Memory.Overhead += rest
	}
	return in, nil
}

// size refuses what no machine has.
func size(b gguf.GGUFBytesScalar) (int64, error) {
	if b > 1<<50 {
		return 0, hives.Errorf(hives.CodeInvalid, "the GGUF header makes no sense: it asks for %d bytes", uint64(b))
	}
	return int64(b), nil
}

// headers is a directory of headers, for one estimate.
type headers struct{ dir string }

func newHeaders(below string) (headers, error) {
	dir, err := os.MkdirTemp(filepath.Join(below, headerDir), "")
	return headers{dir}, coded(CodeDisk, err)
}

func (h headers) remove() { _ = os.RemoveAll(h.dir) }

// file makes the n-th of count files. Its name is what the parser finds the others by.
func (h headers) file(n, count int) (*os.File, error) {
	name := "model.gguf"
	if count > 1 {
		name = fmt.Sprintf("model-%05d-of-%05d.gguf", n+1, count)
	}
	f, err := os.OpenFile(filepath.Join(h.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, coded(CodeDisk, err)
}
