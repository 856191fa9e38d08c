package runlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"queen-rbee/hives"
)

// fold puts a run's chunks together into the answer that the API gives without streaming. It
// takes any valid JSON: what has not the shape of a chunk is passed over, since a run that is
// complete must be readable. Its memory is bounded by the log's size.
type fold struct {
	meta    Meta
	text    bytes.Buffer // native text of all records
	any     bool         // a chunk was there
	choiced bool         // a chunk had choices
	top     fields
	choices map[int64]*choice
}

func newFold(meta Meta) *fold {
	return &fold{meta: meta, top: fields{}, choices: map[int64]*choice{}}
}

// add takes a record that is not the end.
func (f *fold) add(rec Record) {
	f.text.Write(rec.Text)
	for _, c := range rec.Chunks {
		f.chunk(c.Raw)
	}
}

// answer takes the end and gives the answer of api on one line.
func (f *fold) answer(api string, end Record) ([]byte, error) {
	if api == hives.APITask {
		return marshal(taskAnswer{
			Text:         f.text.String(),
			Model:        f.meta.Model,
			FinishReason: end.Terminal.FinishReason,
			Usage:        end.Terminal.Usage,
		})
	}
	for _, c := range end.Chunks {
		f.chunk(c.Raw)
	}
	return f.openai(*end.Terminal)
}

// taskAnswer is the whole form of the native API, as far as a hive knows it.
type taskAnswer struct {
	Text         string      `json:"text"`
	Model        string      `json:"model"`
	FinishReason string      `json:"finish_reason"`
	Usage        hives.Usage `json:"usage"`
}

func (f *fold) chunk(raw []byte) {
	var top map[string]json.RawMessage
	if json.Unmarshal(raw, &top) != nil || top == nil {
		return
	}
	f.any = true
	for key, v := range top {
		switch key {
		case "choices":
			f.choiced = true
			var choices []json.RawMessage
			if json.Unmarshal(v, &choices) == nil {
				for _, c := range choices {
					f.choice(c)
				}
			}
		case "id", "created", "object":
			if _, has := f.top[key]; !has && !isNull(v) {
				f.top.set(key, v)
			}
		default:
			f.top.setLast(key, v)
		}
	}
}

func (f *fold) choice(raw []byte) {
	var in map[string]json.RawMessage
	if json.Unmarshal(raw, &in) != nil || in == nil {
		return
	}
	var index int64
	if json.Unmarshal(in["index"], &index) != nil {
		index = 0
	}
	c := f.choices[index]
	if c == nil {
		c = &choice{rest: fields{}}
		f.choices[index] = c
	}
	c.add(in)
}

func (f *fold) openai(t hives.Terminal) ([]byte, error) {
	chat := !strings.HasSuffix(f.meta.Path, "/completions") || strings.HasSuffix(f.meta.Path, "/chat/completions")
	out := fields{}
	maps.Copy(out, f.top)
	switch {
	case string(out["object"]) == `"chat.completion.chunk"`, out["object"] == nil && chat:
		out["object"] = []byte(`"chat.completion"`)
	case out["object"] == nil:
		out["object"] = []byte(`"text_completion"`)
	}
	if isNull(out["model"]) {
		model, err := marshal(f.meta.Model)
		if err != nil {
			return nil, err
		}
		out["model"] = model
	}
	if isNull(out["usage"]) {
		usage, err := marshal(t.Usage)
		if err != nil {
			return nil, err
		}
		out["usage"] = usage
	}
	if f.choiced || !f.any {
		out["choices"] = f.joinChoices(t)
	}
	return out.appendTo(nil, "id", "object", "created", "model", "choices", "usage"), nil
}

func (f *fold) joinChoices(t hives.Terminal) []byte {
	b := []byte{'['}
	for i, index := range slices.Sorted(maps.Keys(f.choices)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.choices[index].appendTo(b, index, t.FinishReason)
	}
	return append(b, ']')
}

// marshal is json.Marshal that leaves <, > and & as they are, as engines do.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("runlog: encode: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
