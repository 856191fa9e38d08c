package translate

import (
	"encoding/json"
	"slices"
)

// anthropicMessage tells a run as the events of the Messages API.
type anthropicMessage struct {
	chunks
	items
	req    *Request
	whole  bool
	called bool      // a tool is called
	refuse bool      // the model refused
	out    []rawJSON // whole: the blocks that are done
	bad    error     // whole: what cannot be told
}

func newMessage(r *Request, run Run) Answer {
	a := &anthropicMessage{req: r}
	a.items = newItems(run, a, false)
	return a
}

func (a *anthropicMessage) id() string { return "msg_" + a.run.Job }

func (a *anthropicMessage) Begin() []byte {
	return event(nil, "message_start", object("type", "message_start",
		"message", a.body(nil, nil, object("input_tokens", 0, "output_tokens", 0))))
}

func (a *anthropicMessage) body(reason, sequence any, usage rawJSON) rawJSON {
	return object(
		"id", a.id(),
		"type", "message",
		"role", "assistant",
		"model", a.req.Model,
		"content", list(a.out),
		"stop_reason", reason,
		"stop_sequence", sequence,
		"usage", usage,
	)
}

func (a *anthropicMessage) Chunk(dst, chunk []byte) ([]byte, error) {
	var err error
	for _, p := range a.chunks.take(chunk) {
		switch p.kind {
		case reasoning:
			if !a.req.shows {
				continue // the client did not ask for thinking, so it expects none
			}
		case refusal:
			p.kind, a.refuse = textual, true
		case calling:
			a.called = true
		}
		if dst, err = a.items.take(dst, p); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (a *anthropicMessage) End(dst []byte, spent Usage) []byte {
	reason, sequence := a.stopped()
	dst = a.closeItem(dst, reason == "max_tokens")
	dst = event(dst, "message_delta", object("type", "message_delta",
		"delta", object("stop_reason", reason, "stop_sequence", sequence), "usage", cost(a.spent(spent))))
	return event(dst, "message_stop", object("type", "message_stop"))
}

func (a *anthropicMessage) Fail(dst []byte, f Failure) []byte {
	return event(dst, "error", object("type", "error", "error", anthropicError(f)))
}

func (a *anthropicMessage) Idle() []byte { return event(nil, "ping", object("type", "ping")) }

func (a *anthropicMessage) Whole(folded []byte) ([]byte, error) {
	a.whole, a.keep = true, true
	if _, err := a.Chunk(nil, folded); err != nil {
		return nil, err
	}
	reason, sequence := a.stopped()
	a.closeItem(nil, reason == "max_tokens")
	if a.bad != nil {
		return nil, a.bad
	}
	return append(a.body(reason, sequence, cost(a.spent(Usage{}))), '\n'), nil
}

// stopped says why the run ended. Only some engines say that a stop sequence did it.
func (a *anthropicMessage) stopped() (reason string, sequence any) {
	switch {
	case a.finish == "length":
		return "max_tokens", nil
	case a.finish == "content_filter" || a.refuse:
		return "refusal", nil
	case a.called:
		return "tool_use", nil
	}
	if t, ok := inside(a.stop); ok && slices.Contains(a.req.stops, t.plain()) {
		return "stop_sequence", t
	}
	return "end_turn", nil
}

// cost is the usage: there, what was read from a cache does not count as input.
func cost(u Usage) rawJSON {
	cached := min(u.InDetails.Cached, u.Input)
	return object(
		"input_tokens", u.Input-cached,
		"cache_creation_input_tokens", 0,
		"cache_read_input_tokens", cached,
		"output_tokens", u.Output,
	)
}

func (a *anthropicMessage) open(dst []byte, it *item) []byte {
	var block rawJSON
	switch it.kind {
	case reasoning:
		block = object("type", "thinking", "thinking", "", "signature", "")
	case calling:
		block = object("type", "tool_use", "id", it.id, "name", it.name, "input", rawJSON("{}"))
	default:
		block = object("type", "text", "text", "")
	}
	return event(dst, "content_block_start",
		object("type", "content_block_start", "index", it.place, "content_block", block))
}

func (a *anthropicMessage) add(dst []byte, it *item, more piece) []byte {
	switch it.kind {
	case reasoning:
		return a.delta(dst, it, "type", "thinking_delta", "thinking", more.text)
	case calling:
		return a.delta(dst, it, "type", "input_json_delta", "partial_json", more.text)
	}
	return a.delta(dst, it, "type", "text_delta", "text", more.text)
}

func (a *anthropicMessage) delta(dst []byte, it *item, pairs ...any) []byte {
	return event(dst, "content_block_delta",
		object("type", "content_block_delta", "index", it.place, "delta", object(pairs...)))
}

func (a *anthropicMessage) closed(dst []byte, it *item, cut bool) []byte {
	if a.whole {
		a.out = append(a.out, a.block(it, cut))
	}
	if it.kind == reasoning { // opaque to clients, who drop a thought without one
		dst = a.delta(dst, it, "type", "signature_delta", "signature", a.id())
	}
	return event(dst, "content_block_stop", object("type", "content_block_stop", "index", it.place))
}

// block is a whole item. Arguments that were cut off are none: what they would have said is not known.
func (a *anthropicMessage) block(it *item, cut bool) rawJSON {
	switch it.kind {
	case reasoning:
		return object("type", "thinking", "thinking", it.text, "signature", a.id())
	case calling:
		input := rawJSON(it.text.plain())
		var fields map[string]rawJSON
		if len(input) == 0 || cut && !json.Valid(input) {
			input = rawJSON("{}")
		}
		if json.Unmarshal(input, &fields) != nil || fields == nil {
			a.bad = errAnswer("the model called the tool %.100q with what is no JSON object: %.200q", it.name.plain(), input)
			return nil
		}
		return object("type", "tool_use", "id", it.id, "name", it.name, "input", rawJSON(compact(input)))
	}
	return object("type", "text", "text", it.text)
}
