package translate

import (
	"slices"
	"strings"
)

func joinTexts(parts []part) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		if p.Text != nil {
			texts[i] = *p.Text
		}
	}
	return strings.Join(texts, "\n\n")
}

// readMessages takes the conversation.
func readMessages(r *reader, c *chat) {
	items, ok := r.list("messages")
	if !ok || len(items) == 0 {
		r.fail("messages", "must be a list of at least one message")
	}
	r.each("messages", items, func(_ string, m *reader) {
		role := m.must("role")
		if !slices.Contains([]string{"user", "assistant", "system"}, role) {
			m.fail("role", "is %.40q, must be user, assistant or system", role)
		}
		if v := m.in["content"]; isNull(v) {
			m.fail("content", "is missing")
		} else if v[0] == '"' {
			s, _ := m.str("content")
			c.say(role, []part{textPart(s)})
		} else {
			readTurn(m, c, role)
		}
		m.end()
	})
}

// readTurn takes the blocks of one message. Results of tools stand first, since they must follow
// the calls, whatever is said beside them.
func readTurn(m *reader, c *chat, role string) {
	blocks, _ := m.list("content")
	var said []part
	var calls []toolCall
	m.each("content", blocks, func(_ string, b *reader) {
		b.ignore("cache_control")
		kind := b.must("type")
		switch {
		case kind == "tool_result" && role == "user":
			readResult(b, c)
		case kind == "tool_use" && role == "assistant":
			b.only("caller", "only the model itself calls", `{"type":"direct"}`)
			b.only("toolset_name", "there are no toolsets here")
			input, ok := b.take("input")
			if !ok {
				input = rawJSON("{}")
			}
			calls = append(calls, toolCall{ID: b.must("id"), Function: function{Name: b.must("name"), Arguments: compact(input)}})
		case kind == "thinking" && role == "assistant":
			b.ignore("signature")
			s, _ := b.str("thinking")
			c.lasting += s
		case kind == "redacted_thinking":
			b.fail("type", "is redacted_thinking, which only the service that made it can read; leave the block out")
		default:
			if p, ok := readBlock(b, kind); ok {
				said = append(said, p)
			}
		}
		b.end()
	})
	if len(said) > 0 || len(calls) == 0 && len(blocks) == 0 {
		c.say(role, said)
	}
	for _, call := range calls {
		c.call(call)
	}
}

// readResult takes what a tool gave. That it failed is said in the text: there is no other place.
func readResult(b *reader, c *chat) {
	id := b.must("tool_use_id")
	failed, _ := b.boolean("is_error")
	b.only("toolset_name", "there are no toolsets here")
	parts := readBlocks(b, "content")
	if failed {
		parts = slices.Insert(parts, 0, textPart("The tool failed:"))
	}
	c.result(id, parts)
}

// readBlocks takes a text, or blocks of content; nil when there is none.
func readBlocks(r *reader, name string) (parts []part) {
	v := r.in[name]
	if isNull(v) {
		r.ignore(name)
		return nil
	}
	if v[0] == '"' {
		s, _ := r.str(name)
		return []part{textPart(s)}
	}
	blocks, _ := r.list(name)
	r.each(name, blocks, func(_ string, b *reader) {
		b.ignore("cache_control")
		if p, ok := readBlock(b, b.must("type")); ok {
			parts = append(parts, p)
		}
		b.end()
	})
	return parts
}

func readBlock(b *reader, kind string) (p part, ok bool) {
	switch kind {
	case "text":
		b.ignore("citations")
		s, ok := b.str("text")
		if !ok {
			b.fail("text", "is missing")
		}
		return textPart(s), true
	case "image":
		return readImage(b), true
	case "document":
		return readDocument(b), true
	}
	b.fail("type", "%.60q cannot be carried over here; texts, images, plain documents, tool_use and tool_result can", kind)
	return part{}, false
}

func readImage(b *reader) part {
	p := part{Type: "image_url", ImageURL: &image{}}
	s := b.object("source")
	if s == nil {
		b.fail("source", "is missing")
		return p
	}
	switch kind := s.must("type"); kind {
	case "base64":
		p.ImageURL.URL = "data:" + s.must("media_type") + ";base64," + s.must("data")
	case "url":
		p.ImageURL.URL = s.must("url")
	default:
		s.fail("type", "is %.40q, must be base64 or url", kind)
	}
	s.end()
	return p
}

// readDocument takes a document that is text; to read others is the service's own art.
func readDocument(b *reader) part {
	text := ""
	for _, name := range []string{"title", "context"} {
		if s, _ := b.str(name); s != "" {
			text += s + "\n\n"
		}
	}
	b.only("citations", "nothing is cited here; leave it out", `{"enabled":false}`)
	s := b.object("source")
	if s == nil {
		b.fail("source", "is missing")
		return textPart("")
	}
	if kind := s.must("type"); kind != "text" {
		s.fail("type", "is %.40q; only text can be carried over, send images or the text itself", kind)
	}
	s.ignore("media_type")
	data, _ := s.str("data")
	s.end()
	return textPart(text + data)
}
