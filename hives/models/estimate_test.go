package models

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/models/hubtest"
)

func tiny() []byte { return hubtest.GGUF(hubtest.Llama(hubtest.Tiny())) }

func TestInspect(t *testing.T) {
	r := newRig(t)
	data := tiny()
	digest := r.hub.Put("org/repo/llama.gguf", data)
	in, err := r.store.Inspect(t.Context(), "hf:org/repo/llama.gguf", 4, 512)
	if err != nil {
		t.Fatal(err)
	}
	if in.Bytes != int64(len(data)) || in.Digest != digest || in.Architecture != "llama" || in.ContextMax != 2048 || len(in.Files) != 1 {
		t.Errorf("%+v", in)
	}
	shape := hubtest.Tiny()
	perToken := int64(shape.Layers*shape.Embedding/shape.Heads*shape.HeadsKV) * 2 * 2 // keys and values of 16 bits
	if want := perToken * 4 * 512; in.Memory.KV != want {
		t.Errorf("KV is %d, want %d", in.Memory.KV, want)
	}
	if in.Memory.Weights < 60_000 || in.Memory.Weights > 2*int64(len(data)) || in.Memory.Overhead <= 0 {
		t.Errorf("%+v of %d bytes", in.Memory, len(data))
	}
	more, err := r.store.Inspect(t.Context(), "hf:org/repo/llama.gguf", 8, 512)
	if err != nil || more.Memory.KV != 2*in.Memory.KV || more.Memory.Weights != in.Memory.Weights {
		t.Errorf("twice the slots: %+v, %v", more.Memory, err)
	}
	r.empty()
	// The same from the file, when it is here, and from a place on this hive.
	m := r.mustFetch("hf:org/repo/llama.gguf")
	sent := r.hub.Requests()
	here, err := r.store.Inspect(t.Context(), "hf:org/repo/llama.gguf", 4, 512)
	if err != nil || here.Memory != in.Memory || here.Digest != digest || r.hub.Requests() != sent {
		t.Errorf("%+v, %v", here, err)
	}
	placed := newRig(t, func(o *Options) { o.Files = []string{filepath.Dir(m.Path)} })
	if there, err := placed.store.Inspect(t.Context(), "file:"+m.Path, 4, 512); err != nil || there.Memory != in.Memory || there.Digest != "" {
		t.Errorf("%+v, %v", there, err)
	}
	left, err := os.ReadDir(filepath.Join(r.options.Dir, headerDir))
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// Only the header is read, whatever the size of the model, and no range is needed for that.
func TestInspectReadsTheHeaderAlone(t *testing.T) {
	r := newRig(t)
	shape := hubtest.Tiny()
	shape.Vocabulary, shape.Embedding = 1_000, 1024 // 24 MB
	data := hubtest.GGUF(hubtest.Llama(shape))
	r.hub.Put("org/repo/llama.gguf", data)
	for _, ignore := range []bool{false, true} {
		before := r.hub.Sent()
		r.hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Ignore: ignore} })
		in, err := r.store.Inspect(t.Context(), "hf:org/repo/llama.gguf", 0, 0)
		if err != nil || in.ContextMax != 2048 || in.Memory.KV == 0 {
			t.Errorf("%+v, %v", in, err)
		}
		if sent := r.hub.Sent() - before; sent > int64(len(data))/2 {
			t.Errorf("%d bytes of %d were sent", sent, len(data))
		}
	}
}

func TestInspectOfSplitAndOthers(t *testing.T) {
	r := newRig(t)
	keys, tensors := hubtest.Llama(hubtest.Tiny())
	whole := tiny()
	r.hub.Put("org/repo/w.gguf", whole)
	half := len(tensors) / 2
	count := []hubtest.Value{{Key: "split.count", Type: 2, Data: []byte{2, 0}}}
	r.hub.Put("org/repo/s-00001-of-00002.gguf", hubtest.GGUF(append(count, keys...), tensors[:half]))
	r.hub.Put("org/repo/s-00002-of-00002.gguf", hubtest.GGUF([]hubtest.Value{{Key: "split.no", Type: 2, Data: []byte{1, 0}}}, tensors[half:]))
	one, err := r.store.Inspect(t.Context(), "hf:org/repo/w.gguf", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	split, err := r.store.Inspect(t.Context(), "hf:org/repo/s-00001-of-00002.gguf", 1, 0)
	if err != nil || split.Memory.KV != one.Memory.KV || len(split.Files) != 2 || split.Digest == "" {
		t.Errorf("%+v, %v", split, err)
	}
	if d := split.Memory.Weights - one.Memory.Weights; d < -1000 || d > 1000 {
		t.Errorf("weights of the parts %d, of the whole %d", split.Memory.Weights, one.Memory.Weights)
	}
	m := r.mustFetch("hf:org/repo/s-00001-of-00002.gguf")
	if m.Digest != split.Digest {
		t.Errorf("inspected %s, fetched %s", split.Digest, m.Digest)
	}
	r.hub.Put("org/repo/w.safetensors", hubtest.Noise(1, 1000))
	other, err := r.store.Inspect(t.Context(), "hf:org/repo/w.safetensors", 1, 0)
	if err != nil || other.Memory != (Memory{Weights: 1000, Overhead: 100}) || other.Architecture != "" {
		t.Errorf("%+v, %v", other, err)
	}
	_, err = r.store.Inspect(t.Context(), "hf:org/repo/none.gguf", 1, 0)
	wantCode(t, err, CodeNotThere, "404")
	_, err = r.store.Inspect(t.Context(), "hf:org/repo/w.gguf", 1<<20, 1<<20)
	wantCode(t, err, hives.CodeInvalid, "more than an engine can have")
}

// A header that lies ends with an error, and with no more memory than it has bytes.
func TestHostileHeaders(t *testing.T) {
	keys, tensors := hubtest.Llama(hubtest.Tiny())
	with := func(v hubtest.Value) []byte { return hubtest.GGUF(append([]hubtest.Value{v}, keys...), tensors) }
	array := func(of uint32, n uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, of), n)
	}
	counts := func(tensors, keys uint64) []byte {
		b := binary.LittleEndian.AppendUint32([]byte("GGUF"), 3)
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, tensors), keys)
	}
	for name, data := range map[string][]byte{
		"many tensors":      counts(math.MaxUint64, 1),
		"many keys":         counts(1, 1<<40),
		"a long text":       with(hubtest.Value{Key: "x", Type: hubtest.TypeString, Data: binary.LittleEndian.AppendUint64(nil, 1<<62)}),
		"a long array":      with(hubtest.Value{Key: "x", Type: hubtest.TypeArray, Data: array(0, 1<<60)}),
		"an array of texts": with(hubtest.Value{Key: "x", Type: hubtest.TypeArray, Data: array(hubtest.TypeString, 1<<20)}),
		"arrays in arrays":  with(hubtest.Value{Key: "x", Type: hubtest.TypeArray, Data: array(hubtest.TypeArray, 1)}),
		"an unknown type":   with(hubtest.Value{Key: "x", Type: 77}),
		"many layers":       with(hubtest.Uint32("llama.block_count", math.MaxUint32)),
		"another version":   append(binary.BigEndian.AppendUint32([]byte("GGUF"), 3), make([]byte, 100)...),
		"huge tensors":      hubtest.GGUF(keys, nil)[:0:0],
		"cut off":           tiny()[:500],
	} {
		if name == "huge tensors" {
			data = bytes.Replace(tiny(), binary.LittleEndian.AppendUint64(nil, 64), binary.LittleEndian.AppendUint64(nil, 1<<62), 4)
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.hub.Put(file, data)
			_, err := r.store.Inspect(t.Context(), "hf:"+file, 1, 0)
			wantCode(t, err, hives.CodeInvalid, "GGUF header")
		})
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(tiny()[:1500], int64(100_000))
	f.Add([]byte("GGUF\x03\x00\x00\x00"), int64(8))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		name := filepath.Join(t.TempDir(), "model.gguf")
		out, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		err = copyHeader(out, io.MultiReader(bytes.NewReader(data), bytes.NewReader(make([]byte, 1<<10))))
		if err != nil {
			return
		}
		if err := out.Truncate(max(0, min(size, 1<<40))); err != nil {
			t.Fatal(err)
		}
		if in, err := estimate(name, 2, 1024); err == nil && (in.Memory.Weights < 0 || in.Memory.KV < 0 || in.Memory.Overhead < 0) {
			t.Errorf("%+v", in)
		}
	})
}
