package translate

import (
	"maps"
	"slices"
	"strings"
)

// Request is what a client of another API asks for, in the words of chat/completions.
type Request struct {
	Model  string
	Stream bool
	Body   []byte // of chat/completions

	// Session is what the client calls its prompt's cache: requests of one name are best served
	// by one worker. It may be empty.
	Session string

	answer func(*Request, Run) Answer
	echo   rawJSON // Responses: the fields of the answer that repeat the request
	shows  bool    // Messages: thinking was asked for
	stops  []string
}

// Run is what an answer is named after.
type Run struct {
	Job     string
	Created int64 // Unix seconds
}

// Answer gives the machine that tells one run of the request.
func (r *Request) Answer(run Run) Answer { return r.answer(r, run) }

// message is one of chat/completions.
type message struct {
	Role       string     `json:"role"`
	Content    any        `json:"content"` // a string, parts, or nil beside tool calls
	Reasoning  string     `json:"reasoning_content,omitempty"`
	ToolCalls  []toolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
}

type toolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// part is one part of a message's content.
type part struct {
	Type     string   `json:"type"`
	Text     *string  `json:"text,omitempty"`
	ImageURL *image   `json:"image_url,omitempty"`
	Audio    rawJSON  `json:"input_audio,omitempty"`
	File     *fileRef `json:"file,omitempty"`
}

type image struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

type fileRef struct {
	Data string `json:"file_data"`
	Name string `json:"filename,omitempty"`
}

func textPart(s string) part { return part{Type: "text", Text: &s} }

// content is how parts stand in a message: a lone text as the string that every engine knows.
func content(parts []part) any {
	if len(parts) == 1 && parts[0].Type == "text" {
		return *parts[0].Text
	}
	return parts
}

// chat is a conversation that grows as the items of another API are read.
type chat struct {
	messages []message
	images   []part // of tool results, which take text alone: they follow the last of these
	lasting  string // reasoning that belongs to the assistant's next message
}

// say adds a message. What a system says at the very beginning is one message: the templates of
// many models take no other.
func (c *chat) say(role string, parts []part) {
	if role == "developer" {
		role = "system" // the word that models were trained on
	}
	if role == "assistant" {
		c.answer(content(parts))
		return
	}
	if role == "user" { // templates want the roles to alternate
		parts, c.images = append(c.images, parts...), nil
	}
	c.flush()
	m := message{Role: role, Content: content(parts)}
	if role == "system" && len(c.messages) == 1 && c.messages[0].Role == role {
		first, ok1 := c.messages[0].Content.(string)
		second, ok2 := m.Content.(string)
		if ok1 && ok2 {
			c.messages[0].Content = first + "\n\n" + second
			return
		}
	}
	c.messages = append(c.messages, m)
}

// answer adds what the assistant said: to its message, if that only calls tools so far.
func (c *chat) answer(said any) {
	if last := len(c.messages) - 1; last >= 0 && c.lasting == "" && c.messages[last].Role == "assistant" && c.messages[last].Content == nil {
		c.messages[last].Content = said
		return
	}
	c.showImages()
	c.messages = append(c.messages, message{Role: "assistant", Content: said, Reasoning: c.lasting})
	c.lasting = ""
}

// call adds a tool call to the assistant's message, or begins one for it.
func (c *chat) call(t toolCall) {
	t.Type = "function"
	last := len(c.messages) - 1
	if last < 0 || c.messages[last].Role != "assistant" || c.lasting != "" {
		c.answer(nil)
		last = len(c.messages) - 1
	}
	c.messages[last].ToolCalls = append(c.messages[last].ToolCalls, t)
}

// result adds what a tool gave: its texts; images go into a message of the user behind it.
func (c *chat) result(id string, parts []part) {
	c.showReasoning()
	var texts []string
	for _, p := range parts {
		if p.Type == "text" {
			texts = append(texts, *p.Text)
		} else {
			c.images = append(c.images, p)
		}
	}
	if len(texts) == 0 && len(parts) > 0 {
		texts = []string{"(the result is in the message that follows)"}
	}
	c.messages = append(c.messages, message{Role: "tool", ToolCallID: id, Content: strings.Join(texts, "\n")})
}

// flush ends what another role's message cannot be in the middle of.
func (c *chat) flush() {
	c.showImages()
	c.showReasoning()
}

func (c *chat) showImages() {
	if len(c.images) > 0 {
		c.messages = append(c.messages, message{Role: "user", Content: c.images})
		c.images = nil
	}
}

// showReasoning makes reasoning that no word of the assistant followed a message of its own.
func (c *chat) showReasoning() {
	if c.lasting != "" {
		c.answer("")
	}
}

// end is the list of messages.
func (c *chat) end() []message {
	c.flush()
	return c.messages
}

// fields are those of a chat body.
type fields map[string]any

// set puts a field that was given.
func (f fields) set(name string, v any, given bool) {
	if given {
		f[name] = v
	}
}

// body is the chat body: the fields, and what is left of the request, which is known to neither
// API. foreign names fields of chat/completions that the request's own API calls otherwise.
func (f fields) body(left *reader, foreign map[string]string) []byte {
	for _, name := range slices.Sorted(maps.Keys(left.in)) {
		v := left.in[name]
		if own, is := foreign[name]; is {
			if !asksNothing(v) {
				left.fail(name, "is a field of chat/completions; %s", own)
			}
			continue
		}
		f[name] = v
	}
	if left.failed() {
		return nil
	}
	return marshal(f)
}

// tool is a function as chat/completions has it.
func tool(name string, description any, parameters, strict rawJSON) rawJSON {
	pairs := []any{"name", name}
	if description != nil {
		pairs = append(pairs, "description", description)
	}
	if !isNull(parameters) {
		pairs = append(pairs, "parameters", parameters)
	}
	if !isNull(strict) {
		pairs = append(pairs, "strict", strict)
	}
	return object("type", "function", "function", object(pairs...))
}

// oneTool is the tool_choice of a function by its name.
func oneTool(name string) rawJSON {
	return object("type", "function", "function", object("name", name))
}

// jsonSchema is the response_format of a schema.
func jsonSchema(name string, schema, strict rawJSON, description string) rawJSON {
	pairs := []any{"name", name, "schema", schema}
	if description != "" {
		pairs = append(pairs, "description", description)
	}
	if !isNull(strict) {
		pairs = append(pairs, "strict", strict)
	}
	return object("type", "json_schema", "json_schema", object(pairs...))
}
