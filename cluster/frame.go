package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// fate is what became of a call, as far as the answering side can tell.
type fate uint8

const (
	answered fate = iota + 1 // the answer or its error is the leader's
	refused                  // certainly not accepted: ask elsewhere or later
	unknown                  // may have been accepted
	busy                     // not accepted for want of room: ask later
)

// wireCall is one call. A call without a method is a request for the proposer. What is meant
// for one leadership is refused by every other: its caller may have given it up, and a leader
// that is elected again finds it in a connection that was stuck.
type wireCall struct {
	Seq     uint64
	Term    uint64            `codec:",omitempty"` // of the leadership it is meant for; any queen's methods need none
	Method  string            `codec:",omitempty"`
	Body    []byte            `codec:",omitempty"`
	Request *schedule.Request `codec:",omitempty"`
	Within  time.Duration     `codec:",omitempty"` // what is left of the caller's deadline; 0 for none
}

// submits tells a request for a job, which must not be called refused while a try of it may
// still be accepted.
func (c *wireCall) submits() bool { return c.Request != nil && c.Request.Submit != nil }

// wireReply answers the call with the same Seq.
type wireReply struct {
	Seq    uint64
	Fate   fate
	Answer *schedule.Answer `codec:",omitempty"`
	Body   []byte           `codec:",omitempty"`
	Err    *fsm.Error       `codec:",omitempty"`
}

// handle encodes by field names, so that queens of two versions understand each other.
var handle = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.MapType = reflect.TypeOf(map[string]any(nil))
	h.MaxDepth = 32
	return h
}()

func encode(v any) ([]byte, error) {
	var b []byte
	err := codec.NewEncoderBytes(&b, handle).Encode(v)
	return b, err
}

func decode(data []byte, v any) error { return codec.NewDecoderBytes(data, handle).Decode(v) }

// maxFrame is one entry's worth of body and its surroundings.
const maxFrame = 64 << 20

// writeFrame writes a length and the data, in one write.
func writeFrame(w io.Writer, data []byte) error {
	head := make([]byte, 4, 4+len(data))
	binary.BigEndian.PutUint32(head, uint32(len(data)))
	_, err := w.Write(append(head, data...))
	return err
}

// readFrame reads what writeFrame wrote, growing only as the bytes come.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes; at most %d are taken", n, maxFrame)
	}
	if n <= 1<<20 {
		data := make([]byte, n)
		_, err := io.ReadFull(r, data)
		return data, err
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
