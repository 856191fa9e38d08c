package translate

import "slices"

// readInput takes the conversation: a text of the user, or items.
func readInput(r *reader, c *chat) {
	v, ok := r.in["input"]
	if !ok || isNull(v) {
		r.fail("input", "is missing")
		return
	}
	if v[0] == '"' {
		s, _ := r.str("input")
		c.say("user", []part{textPart(s)})
		return
	}
	items, ok := r.list("input")
	if ok && len(items) == 0 {
		r.fail("input", "is empty; at least one item is needed")
	}
	r.each("input", items, func(_ string, item *reader) { readItem(item, c) })
}

func readItem(r *reader, c *chat) {
	r.ignore("id", "status", "phase") // of items that an earlier response had
	r.only("caller", "only the model itself calls", `{"type":"direct"}`)
	r.only("namespace", "tools have no namespaces here")
	kind, ok := r.str("type")
	if !ok {
		kind = "message"
	}
	switch kind {
	case "message":
		role := r.must("role")
		if !slices.Contains([]string{"user", "assistant", "system", "developer"}, role) {
			r.fail("role", "is %.40q, must be user, assistant, system or developer", role)
		}
		c.say(role, readParts(r, "content"))
	case "function_call":
		call := toolCall{ID: r.must("call_id"), Function: function{Name: r.must("name")}}
		call.Function.Arguments, _ = r.str("arguments")
		c.call(call)
	case "function_call_output":
		id := r.must("call_id")
		r.ignore("name")
		c.result(id, readParts(r, "output"))
	case "reasoning":
		readReasoningItem(r, c)
	case "item_reference":
		r.fail("type", "is item_reference; %s", notStored)
	default:
		r.fail("type", "%.60q is no item of a conversation with functions; it cannot be carried over", kind)
	}
	r.end()
}

// readReasoningItem keeps the text of what the assistant thought for its next message.
func readReasoningItem(r *reader, c *chat) {
	readable := ""
	for _, name := range []string{"summary", "content"} { // content is the fuller of the two
		items, _ := r.list(name)
		s := ""
		r.each(name, items, func(_ string, p *reader) {
			if kind := p.must("type"); kind != "reasoning_text" && kind != "summary_text" {
				p.fail("type", "is %.40q, must be reasoning_text or summary_text", kind)
			}
			t, _ := p.str("text")
			p.end()
			s += t
		})
		if s != "" {
			readable = s
		}
	}
	if sealed, _ := r.str("encrypted_content"); sealed != "" && readable == "" {
		r.fail("encrypted_content", "was encrypted by another service; leave this item out")
	}
	c.lasting += readable
}

// readParts takes a content: a text, or parts.
func readParts(r *reader, name string) []part {
	v, ok := r.in[name]
	if !ok || isNull(v) {
		r.fail(name, "is missing")
		return nil
	}
	if v[0] == '"' {
		s, _ := r.str(name)
		return []part{textPart(s)}
	}
	items, _ := r.list(name)
	parts := make([]part, 0, len(items))
	r.each(name, items, func(_ string, p *reader) {
		p.ignore("annotations", "logprobs", "prompt_cache_breakpoint")
		parts = append(parts, readPart(p))
		p.end()
	})
	return parts
}

func readPart(p *reader) part {
	switch kind := p.must("type"); kind {
	case "input_text", "output_text", "text":
		s, ok := p.str("text")
		if !ok {
			p.fail("text", "is missing")
		}
		return textPart(s)
	case "refusal":
		return textPart(p.must("refusal"))
	case "input_image":
		p.only("file_id", "files are not kept here; give image_url, an address or a data: URL")
		detail, _ := p.str("detail")
		return part{Type: "image_url", ImageURL: &image{URL: p.must("image_url"), Detail: detail}}
	case "input_file":
		p.only("file_id", "files are not kept here; give file_data")
		p.only("file_url", "files are not fetched here; give file_data")
		p.ignore("detail")
		name, _ := p.str("filename")
		return part{Type: "file", File: &fileRef{Data: p.must("file_data"), Name: name}}
	case "input_audio":
		v, _ := p.take("input_audio")
		return part{Type: "input_audio", Audio: v}
	default:
		p.fail("type", "%.40q cannot be carried over; text, images, files and audio can", kind)
		return part{}
	}
}
