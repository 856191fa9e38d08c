package runlog

import (
	"bytes"
	"encoding/json"

	"queen-rbee/hives"
)

// Kind says what a record is.
type Kind byte

// The kinds of records. The numbers are part of the file format.
const (
	Started Kind = 1
	Content Kind = 2
	End     Kind = 3
)

// Record is one record as a Reader gives it. Text and Chunks belong to the Reader and are
// good until its next call.
type Record struct {
	Seq      uint64 // N of the id A.N
	Kind     Kind
	Closes   bool            // its chunk closes the last open choice
	Text     []byte          // native text of a Content record, may be empty
	Offset   int64           // of the engine's stream up to the end of a Content record's chunk; 0: not known
	Chunks   []Chunk         // chunks that waited, then (Content) the record's own
	Terminal *hives.Terminal // of an End
}

// Chunk is one chunk of the engine: valid JSON on one line. Of a run that is not streamed it is
// the whole answer, whatever that is.
type Chunk struct {
	Raw    []byte
	Usage  bool // carries usage and no choices
	Answer bool // the whole answer; its record's Terminal tells what it is
}

// newChunk copies raw into the form in which chunks are kept.
func newChunk(raw json.RawMessage, content bool) (Chunk, error) {
	if !json.Valid(raw) {
		return Chunk{}, hives.Errorf(hives.CodeEngineError, "the engine sent a chunk that is not JSON (%d bytes)", len(raw))
	}
	var c Chunk
	if bytes.ContainsAny(raw, "\r\n") {
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			return Chunk{}, hives.Errorf(hives.CodeEngineError, "the engine sent a chunk that is not JSON: %v", err)
		}
		c.Raw = b.Bytes()
	} else {
		c.Raw = bytes.Clone(raw)
	}
	c.Usage = !content && isUsage(raw)
	return c, nil
}

// isUsage tells the chunk that the OpenAI API sends only to those who ask for usage.
func isUsage(raw []byte) bool {
	var c struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   json.RawMessage   `json:"usage"`
	}
	return json.Unmarshal(raw, &c) == nil && len(c.Choices) == 0 && !isNull(c.Usage)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
