package translate

import "strconv"

// response tells a run as the events of the Responses API.
type response struct {
	chunks
	items
	echo rawJSON
	seq  int
	out  []rawJSON // the items that are done
}

func newResponse(r *Request, run Run) Answer {
	a := &response{echo: r.echo}
	a.items = newItems(run, a, true)
	return a
}

func (a *response) Begin() []byte {
	body := a.body("in_progress")
	dst := a.event(nil, "response.created", "response", body)
	return a.event(dst, "response.in_progress", "response", body)
}

func (a *response) Chunk(dst, chunk []byte) ([]byte, error) {
	var err error
	for _, p := range a.chunks.take(chunk) {
		if dst, err = a.items.take(dst, p); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (a *response) End(dst []byte, spent Usage) []byte {
	dst, status, body := a.final(dst, spent)
	return a.event(dst, "response."+status, "response", body)
}

func (a *response) Fail(dst []byte, f Failure) []byte {
	if f.Stream {
		return a.event(dst, "error", "code", f.Code, "message", f.Message, "param", nil)
	}
	return a.event(dst, "response.failed", "response",
		a.body("failed", "error", object("code", f.Code, "message", f.Message)))
}

// Idle is empty: the API has no event that says nothing.
func (a *response) Idle() []byte { return nil }

func (a *response) Whole(folded []byte) ([]byte, error) {
	dst, err := a.Chunk(nil, folded)
	if err != nil {
		return nil, err
	}
	_, _, body := a.final(dst, Usage{})
	return append(body, '\n'), nil
}

// final closes what is open and gives the response as it stands at the end.
func (a *response) final(dst []byte, spent Usage) (events []byte, status string, body rawJSON) {
	status, why := "completed", ""
	switch a.finish {
	case "length":
		status, why = "incomplete", "max_output_tokens"
	case "content_filter":
		status, why = "incomplete", "content_filter"
	}
	dst = a.closeItem(dst, status != "completed")
	u := a.spent(spent)
	usage := object(
		"input_tokens", u.Input,
		"input_tokens_details", object("cached_tokens", u.InDetails.Cached),
		"output_tokens", u.Output,
		"output_tokens_details", object("reasoning_tokens", u.OutDetails.Reasoning),
		"total_tokens", u.Input+u.Output,
	)
	if why != "" {
		return dst, status, a.body(status, "incomplete_details", object("reason", why), "usage", usage)
	}
	return dst, status, a.body(status, "usage", usage)
}

// body is the response object; more are the pairs that are not null of error, incomplete_details
// and usage.
func (a *response) body(status string, more ...any) rawJSON {
	said := map[any]any{}
	for i := 0; i+1 < len(more); i += 2 {
		said[more[i]] = more[i+1]
	}
	b := appendObject(nil,
		"id", "resp_"+a.run.Job,
		"object", "response",
		"created_at", a.run.Created,
		"status", status,
		"error", said["error"],
		"incomplete_details", said["incomplete_details"],
		"output", list(a.out),
		"usage", said["usage"],
	)
	return append(append(b[:len(b)-1], ','), a.echo...)
}

// event appends one frame with its number.
func (a *response) event(dst []byte, name string, pairs ...any) []byte {
	pairs = append([]any{"type", name, "sequence_number", a.seq}, pairs...)
	a.seq++
	return event(dst, name, object(pairs...))
}

var itemNames = map[kind]string{reasoning: "rs_", textual: "msg_", refusal: "msg_", calling: "fc_"}

func (a *response) id(it *item) string {
	return itemNames[it.kind] + a.run.Job + "_" + strconv.Itoa(it.place)
}

// at are the fields that say which item, and which part of it, an event is about.
func (a *response) at(it *item, more ...any) []any {
	return append([]any{"item_id", a.id(it), "output_index", it.place, "content_index", 0}, more...)
}

// json is an item with the parts it has so far.
func (a *response) json(it *item, status string, parts ...rawJSON) rawJSON {
	switch it.kind {
	case reasoning:
		return object("id", a.id(it), "type", "reasoning", "status", status,
			"summary", rawJSON("[]"), "content", list(parts))
	case calling:
		return object("id", a.id(it), "type", "function_call", "status", status,
			"call_id", it.id, "name", it.name, "arguments", it.text)
	}
	return object("id", a.id(it), "type", "message", "status", status, "role", "assistant", "content", list(parts))
}

func partOf(it *item) rawJSON {
	switch it.kind {
	case reasoning:
		return object("type", "reasoning_text", "text", it.text)
	case refusal:
		return object("type", "refusal", "refusal", it.text)
	}
	return object("type", "output_text", "text", it.text, "annotations", rawJSON("[]"), "logprobs", list(it.logprobs))
}

func (a *response) open(dst []byte, it *item) []byte {
	dst = a.event(dst, "response.output_item.added", "output_index", it.place, "item", a.json(it, "in_progress"))
	if it.kind == calling {
		return dst
	}
	return a.event(dst, "response.content_part.added", a.at(it, "part", partOf(it))...)
}

// grows names the events in which an item's text comes, without their ends.
var grows = map[kind]string{
	reasoning: "response.reasoning_text",
	textual:   "response.output_text",
	refusal:   "response.refusal",
	calling:   "response.function_call_arguments",
}

func (a *response) add(dst []byte, it *item, more piece) []byte {
	name := grows[it.kind] + ".delta"
	switch it.kind {
	case calling:
		return a.event(dst, name, "item_id", a.id(it), "output_index", it.place, "delta", more.text)
	case textual:
		return a.event(dst, name, a.at(it, "delta", more.text, "logprobs", list(more.logprobs))...)
	}
	return a.event(dst, name, a.at(it, "delta", more.text)...)
}

func (a *response) closed(dst []byte, it *item, cut bool) []byte {
	status := "completed"
	if cut {
		status = "incomplete"
	}
	name := grows[it.kind] + ".done"
	var parts []rawJSON
	switch it.kind {
	case calling:
		dst = a.event(dst, name, "item_id", a.id(it), "output_index", it.place, "name", it.name, "arguments", it.text)
	case textual:
		dst = a.event(dst, name, a.at(it, "text", it.text, "logprobs", list(it.logprobs))...)
	case refusal:
		dst = a.event(dst, name, a.at(it, "refusal", it.text)...)
	case reasoning:
		dst = a.event(dst, name, a.at(it, "text", it.text)...)
	}
	if it.kind != calling {
		parts = []rawJSON{partOf(it)}
		dst = a.event(dst, "response.content_part.done", a.at(it, "part", parts[0])...)
	}
	done := a.json(it, status, parts...)
	a.out = append(a.out, done)
	return a.event(dst, "response.output_item.done", "output_index", it.place, "item", done)
}
