package runlog

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// choice is one choice of the answer: of a chat (message) or of a completion (text).
type choice struct {
	message  *message
	text     *delta // field "text" only
	logprobs *delta
	rest     fields
}

func (c *choice) add(in fields) {
	for key, v := range in {
		switch key {
		case "index":
		case "delta":
			if c.message == nil {
				c.message = newMessage()
			}
			c.message.add(v)
		case "text":
			if c.text == nil {
				c.text = newDelta()
			}
			c.text.put(key, v, '"')
		case "logprobs":
			if c.logprobs == nil {
				c.logprobs = newDelta()
			}
			if isNull(v) {
				c.rest.setLast(key, v)
			} else {
				c.logprobs.putAll(v, '[')
			}
		default: // finish_reason, and what engines add
			c.rest.setLast(key, v)
		}
	}
}

// appendTo writes the choice. finish is the run's own reason, if no chunk had one.
func (c *choice) appendTo(b []byte, index int64, finish string) []byte {
	out := maps.Clone(c.rest)
	out["index"] = strconv.AppendInt(nil, index, 10)
	if c.message != nil {
		out["message"] = c.message.raw()
	}
	if c.text != nil {
		maps.Copy(out, c.text.fields())
	}
	if c.logprobs != nil {
		if lp := c.logprobs.fields(); len(lp) > 0 {
			out["logprobs"] = lp.appendTo(nil)
		}
	}
	if isNull(out["finish_reason"]) {
		out["finish_reason"] = []byte("null")
		if reason, err := marshal(finish); err == nil && finish != "" {
			out["finish_reason"] = reason
		}
	}
	return out.appendTo(b, "index", "message", "text", "logprobs", "finish_reason")
}

// message grows from the deltas of a chat.
type message struct {
	body     *delta
	function *delta // function_call of the older API
	calls    map[int64]*call
}

func newMessage() *message { return &message{body: newDelta(), calls: map[int64]*call{}} }

func (m *message) add(raw json.RawMessage) {
	var in fields
	if json.Unmarshal(raw, &in) != nil {
		return
	}
	for key, v := range in {
		switch {
		case key == "tool_calls" && !isNull(v):
			var calls []fields
			if json.Unmarshal(v, &calls) == nil {
				for _, in := range calls {
					m.call(in)
				}
			}
		case key == "function_call" && !isNull(v):
			if m.function == nil {
				m.function = newDelta()
			}
			m.function.putAll(v, '"')
		default:
			m.body.put(key, v, '"')
		}
	}
}

func (m *message) raw() []byte {
	out := m.body.fields()
	if isNull(out["role"]) {
		out["role"] = []byte(`"assistant"`)
	}
	if m.function != nil {
		out["function_call"] = m.function.fields().appendTo(nil, "name", "arguments")
	}
	if len(m.calls) > 0 {
		b := []byte{'['}
		for i, index := range slices.Sorted(maps.Keys(m.calls)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = m.calls[index].appendTo(b)
		}
		out["tool_calls"] = append(b, ']')
	}
	if isNull(out["content"]) {
		out["content"] = []byte(`""`)
		if m.function != nil || len(m.calls) > 0 || !isNull(out["refusal"]) {
			out["content"] = []byte("null")
		}
	}
	return out.appendTo(nil, "role", "content", "reasoning_content", "refusal", "tool_calls")
}

// call is one tool call.
type call struct {
	body     *delta
	function *delta
}

// call merges one entry of tool_calls. Without an index, a new id begins a new call and all
// else goes on with the last one.
func (m *message) call(in fields) {
	if in == nil {
		return
	}
	var index int64
	if json.Unmarshal(in["index"], &index) != nil {
		index = m.place(in["id"])
	}
	c := m.calls[index]
	if c == nil {
		c = &call{body: newDelta(), function: newDelta()}
		m.calls[index] = c
	}
	for key, v := range in {
		switch key {
		case "index":
		case "function":
			c.function.putAll(v, '"')
		default:
			c.body.put(key, v, '"')
		}
	}
}

func (m *message) place(id json.RawMessage) int64 {
	if len(m.calls) == 0 {
		return 0
	}
	for index, c := range m.calls {
		if !isNull(id) && string(c.body.rest["id"]) == string(id) {
			return index
		}
	}
	last := slices.Max(slices.Collect(maps.Keys(m.calls)))
	if isNull(id) || string(id) == `""` {
		return last
	}
	return last + 1
}

func (c *call) appendTo(b []byte) []byte {
	out := c.body.fields()
	if f := c.function.fields(); len(f) > 0 {
		out["function"] = f.appendTo(nil, "name", "arguments")
	}
	return out.appendTo(b, "id", "type", "function")
}
