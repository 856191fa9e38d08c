package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"queen-rbee/cmd/rbee-worker/markov"
)

// chatPrompt reads messages. What the model answers is the last user's message; all of them
// go into the seed and are counted.
func chatPrompt(f *fields) markov.Prompt {
	var list []json.RawMessage
	if !f.into("messages", &list, "an array of messages") {
		f.fail("messages", "is required: give at least one message with role and content")
		return markov.Prompt{}
	}
	if len(list) == 0 {
		f.fail("messages", "is empty; give at least one message with role and content")
	}
	p := markov.Prompt{Parts: make([]string, 0, 2*len(list))}
	for i, raw := range list {
		role, content, err := message(raw, fmt.Sprintf("messages[%d]", i))
		if err != nil {
			if f.err == nil {
				f.err = err
			}
			return p
		}
		p.Parts = append(p.Parts, role, content)
		if role == "user" || p.Text == "" {
			p.Text = content
		}
	}
	return p
}

func message(raw []byte, at string) (role, content string, err *Error) {
	m, err := readObject(raw, at, at)
	if err != nil {
		return "", "", err
	}
	role, _ = m.text("role")
	switch role {
	case "system", "developer", "user", "assistant":
	case "tool", "function":
		m.fail("role", "is %q; this model calls no tools", role)
	case "":
		m.fail("role", "is required: system, developer, user or assistant")
	default:
		m.fail("role", "is %q; it must be system, developer, user or assistant", role)
	}
	for _, name := range []string{"tool_calls", "function_call", "audio"} {
		if m.given(name) {
			m.fail(name, "is not supported by this model; send text alone")
		}
	}
	switch m.kind("content") {
	case '"':
		content, _ = m.text("content")
	case '[':
		content = parts(m)
	case 0:
		if role != "assistant" {
			m.fail("content", "is required: give a string or an array of text parts")
		}
	default:
		m.fail("content", "must be a string or an array of text parts")
	}
	return role, content, m.err
}

// parts joins the texts of a content array.
func parts(m *fields) string {
	var list []json.RawMessage
	m.into("content", &list, "a string or an array of text parts")
	var b strings.Builder
	for i, raw := range list {
		at := fmt.Sprintf("%scontent[%d]", m.at, i)
		part, err := readObject(raw, at, at)
		if err != nil {
			if m.err == nil {
				m.err = err
			}
			return ""
		}
		if kind, _ := part.text("type"); kind != "text" {
			part.fail("type", "is %q; this model reads text alone", kind)
		}
		text, ok := part.text("text")
		if !ok {
			part.fail("text", "is required in a text part")
		}
		if part.err != nil {
			if m.err == nil {
				m.err = part.err
			}
			return ""
		}
		b.WriteString(text)
	}
	return b.String()
}
