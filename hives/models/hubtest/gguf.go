package hubtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Noise is content without a meaning, the same for the same seed.
func Noise(seed uint64, size int) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(out) // never fails
	return out
}

// Shape is what a made-up llama is like.
type Shape struct {
	Layers, Embedding, Heads, HeadsKV, FeedForward, Vocabulary, Context uint32
}

// Tiny is a shape of about 100 KB.
func Tiny() Shape {
	return Shape{Layers: 2, Embedding: 32, Heads: 4, HeadsKV: 2, FeedForward: 64, Vocabulary: 64, Context: 2048}
}

// Value is one key of a header.
type Value struct {
	Key  string
	Type uint32
	Data []byte
}

// Types of a Value.
const (
	TypeUint32 = 4
	TypeString = 8
	TypeArray  = 9
)

// Uint32 makes a value of a number.
func Uint32(key string, n uint32) Value {
	return Value{key, TypeUint32, binary.LittleEndian.AppendUint32(nil, n)}
}

// String makes a value of a text.
func String(key, s string) Value { return Value{key, TypeString, text(nil, s)} }

// Tensor is one tensor of 32-bit numbers.
type Tensor struct {
	Name string
	Dims []uint64
}

// Llama are keys and tensors of a llama of that shape.
func Llama(s Shape) ([]Value, []Tensor) {
	words := binary.LittleEndian.AppendUint32(nil, TypeString)
	words = binary.LittleEndian.AppendUint64(words, uint64(s.Vocabulary))
	for i := range s.Vocabulary {
		words = text(words, string(rune('a'+i%26)))
	}
	keys := []Value{
		String("general.architecture", "llama"), String("general.name", "made up"), Uint32("general.file_type", 0),
		Uint32("llama.block_count", s.Layers), Uint32("llama.context_length", s.Context), Uint32("llama.embedding_length", s.Embedding),
		Uint32("llama.feed_forward_length", s.FeedForward), Uint32("llama.attention.head_count", s.Heads),
		Uint32("llama.attention.head_count_kv", s.HeadsKV), String("tokenizer.ggml.model", "gpt2"),
		{"tokenizer.ggml.tokens", TypeArray, words},
	}
	e, kv, ff := uint64(s.Embedding), uint64(s.Embedding/s.Heads*s.HeadsKV), uint64(s.FeedForward)
	tensors := []Tensor{{"token_embd.weight", []uint64{e, uint64(s.Vocabulary)}}, {"output_norm.weight", []uint64{e}},
		{"output.weight", []uint64{e, uint64(s.Vocabulary)}}}
	for i := range s.Layers {
		for _, t := range []Tensor{{"attn_norm", []uint64{e}}, {"attn_q", []uint64{e, e}}, {"attn_k", []uint64{e, kv}}, {"attn_v", []uint64{e, kv}},
			{"attn_output", []uint64{e, e}}, {"ffn_norm", []uint64{e}}, {"ffn_gate", []uint64{e, ff}}, {"ffn_up", []uint64{e, ff}}, {"ffn_down", []uint64{ff, e}}} {
			tensors = append(tensors, Tensor{fmt.Sprintf("blk.%d.%s.weight", i, t.Name), t.Dims})
		}
	}
	return keys, tensors
}

// GGUF is a whole file of keys and tensors, whose numbers are noise.
func GGUF(keys []Value, tensors []Tensor) []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put := func(n uint64) { b.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	put32 := func(n uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, n)) }
	put32(3)
	put(uint64(len(tensors)))
	put(uint64(len(keys)))
	for _, k := range keys {
		b.Write(text(nil, k.Key))
		put32(k.Type)
		b.Write(k.Data)
	}
	at := uint64(0)
	for _, t := range tensors {
		b.Write(text(nil, t.Name))
		put32(uint32(len(t.Dims)))
		size := uint64(4)
		for _, d := range t.Dims {
			put(d)
			size *= d
		}
		put32(0) // 32-bit floats
		put(at)
		at += (size + 31) / 32 * 32
	}
	b.Write(make([]byte, (32-b.Len()%32)%32))
	b.Write(Noise(1, int(at)))
	return b.Bytes()
}

func text(to []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(to, uint64(len(s))), s...)
}
