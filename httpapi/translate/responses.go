package translate

import (
	"fmt"
	"slices"
)

// foreignToResponses are fields of chat/completions that Responses has under another name.
var foreignToResponses = map[string]string{
	"messages":              "give the conversation as input",
	"max_tokens":            "here it is max_output_tokens",
	"max_completion_tokens": "here it is max_output_tokens",
	"response_format":       "here it is text.format",
	"reasoning_effort":      "here it is reasoning.effort",
	"verbosity":             "here it is text.verbosity",
	"logprobs":              `here it is include: ["message.output_text.logprobs"]`,
	"n":                     "a response has one answer",
	"functions":             "give tools",
	"function_call":         "give tool_choice",
	"modalities":            "a response is text",
	"audio":                 "a response is text",
	"prediction":            "Responses has none",
}

// notStored is why fields that need a memory of earlier responses are refused.
const notStored = "responses are not stored here; send the whole conversation as input"

// Responses reads the body of POST /v1/responses. Its error is a *FieldError.
func Responses(body []byte) (*Request, error) {
	r := read(body)
	req := &Request{answer: newResponse}
	e := &echo{}
	f := fields{}

	req.Model = r.must("model")
	f["model"] = req.Model
	req.Stream, _ = r.boolean("stream")
	if req.Stream {
		f["stream"] = true
		f["stream_options"] = map[string]bool{"include_usage": true}
	}
	r.withoutMemory()
	r.withoutEffect(req)

	conversation := &chat{}
	e.instructions = r.in["instructions"]
	if text, ok := r.str("instructions"); ok && text != "" {
		conversation.say("system", []part{textPart(text)})
	}
	readInput(r, conversation)
	f["messages"] = conversation.end()

	e.maxOutput = r.in["max_output_tokens"]
	n, ok := r.whole("max_output_tokens", 1, 1<<24)
	f.set("max_tokens", n, ok)
	e.temperature, ok = r.number("temperature", 0, 2)
	f.set("temperature", e.temperature, ok)
	e.topP, ok = r.number("top_p", 0, 1)
	f.set("top_p", e.topP, ok)
	e.user = r.in["user"]
	user, ok := r.str("user")
	f.set("user", user, ok)

	readTools(r, f, e)
	readText(r, f, e)
	readReasoning(r, f, e)
	readLogprobs(r, f, e)
	e.metadata = readMetadata(r)

	req.Body = f.body(r, foreignToResponses)
	if r.failed() {
		return nil, *r.err
	}
	req.echo = e.json(req.Model)
	return req, nil
}

// withoutMemory refuses what needs stored responses, or this side's own tools.
func (r *reader) withoutMemory() {
	r.only("previous_response_id", notStored)
	r.only("conversation", notStored)
	r.only("store", "responses are not stored here; send false, or leave it out")
	r.only("background", "responses are not stored here; POST /v2/tasks with detach runs in the background")
	r.only("prompt", "prompt templates are not kept here; send instructions and input")
	r.only("context_management", "conversations are not compacted here; send what the model should see")
	r.only("moderation", "nothing is moderated here; leave it out")
	r.only("truncation", "input is never cut; send what fits, with disabled or without this field", `"disabled"`)
	r.only("service_tier", "there is one tier; X-Rbee-Priority says what may wait", `"auto"`, `"default"`)
	if o := r.object("stream_options"); o != nil {
		o.only("include_obfuscation", "nothing is obfuscated here; send false, or leave it out")
		o.end()
	}
}

// withoutEffect takes hints out that can change no answer. The name of a prompt's cache becomes
// the session, which brings its requests to one worker.
func (r *reader) withoutEffect(req *Request) {
	req.Session, _ = r.str("prompt_cache_key")
	r.ignore("prompt_cache_retention", "prompt_cache_options", "client_metadata")
	r.whole("max_tool_calls", 1, 1<<24) // of built-in tools, of which there are none
}

func readTools(r *reader, f fields, e *echo) {
	e.tools = r.in["tools"]
	items, _ := r.list("tools")
	var tools []rawJSON
	r.each("tools", items, func(at string, t *reader) {
		if kind := t.must("type"); kind != "function" {
			r.fail(at+".type", "%.40q is a built-in tool, of which there are none; give functions", kind)
			return
		}
		name, strict := t.must("name"), t.in["strict"]
		t.boolean("strict")
		var description any
		if d, ok := t.str("description"); ok {
			description = d
		}
		parameters, _ := t.take("parameters")
		t.ignore("output_schema")
		t.only("allowed_callers", "only the model itself calls", `["direct"]`)
		t.only("defer_loading", "tools are not searched for; send those that the model may call")
		t.end()
		tools = append(tools, tool(name, description, parameters, strict))
	})
	f.set("tools", tools, len(tools) > 0)

	e.toolChoice = r.in["tool_choice"]
	if v := e.toolChoice; len(v) > 0 && v[0] == '{' {
		c := r.object("tool_choice")
		if kind := c.must("type"); kind != "function" {
			c.fail("type", "%.40q cannot be chosen here; none, auto, required or a function", kind)
		}
		f["tool_choice"] = oneTool(c.must("name"))
		c.end()
	} else if s, ok := r.str("tool_choice"); ok {
		if !slices.Contains([]string{"none", "auto", "required"}, s) {
			r.fail("tool_choice", "is %.40q, must be none, auto, required or a function", s)
		}
		f["tool_choice"] = s
	}
	e.parallel = r.in["parallel_tool_calls"]
	parallel, ok := r.boolean("parallel_tool_calls")
	f.set("parallel_tool_calls", parallel, ok)
}

func readText(r *reader, f fields, e *echo) {
	e.text = r.in["text"]
	t := r.object("text")
	if t == nil {
		return
	}
	verbosity, ok := t.str("verbosity")
	f.set("verbosity", verbosity, ok)
	format := t.object("format")
	t.end()
	if format == nil {
		return
	}
	switch kind := format.must("type"); kind {
	case "text":
	case "json_object":
		f["response_format"] = object("type", kind)
	case "json_schema":
		name := format.must("name")
		description, _ := format.str("description")
		schema, ok := format.take("schema")
		if !ok || schema[0] != '{' {
			format.fail("schema", "must be a JSON schema")
		}
		strict := format.in["strict"]
		format.boolean("strict")
		f["response_format"] = jsonSchema(name, schema, strict, description)
	default:
		format.fail("type", "is %.40q, must be text, json_object or json_schema", kind)
	}
	format.end()
}

func readReasoning(r *reader, f fields, e *echo) {
	o := r.object("reasoning")
	if o == nil {
		return
	}
	e.effort = o.in["effort"]
	effort, ok := o.str("effort")
	f.set("reasoning_effort", effort, ok)
	for _, name := range []string{"summary", "generate_summary"} {
		o.only(name, "reasoning is not summarised here, it comes as it is; send auto, or leave it out", `"auto"`)
	}
	o.end()
}

func readLogprobs(r *reader, f fields, e *echo) {
	include, _ := r.list("include")
	for i, v := range include {
		switch string(v) {
		case `"reasoning.encrypted_content"`: // nothing is encrypted: the item has its text
		case `"message.output_text.logprobs"`:
			f["logprobs"] = true
		default:
			r.fail(fmt.Sprintf("include[%d]", i), "%.60s: a response here has none; message.output_text.logprobs can be had", v)
		}
	}
	e.topLogprobs = r.in["top_logprobs"]
	if n, ok := r.whole("top_logprobs", 0, 20); ok && n > 0 {
		f["logprobs"], f["top_logprobs"] = true, n
	}
}

// readMetadata takes what is only repeated.
func readMetadata(r *reader) rawJSON {
	raw := r.in["metadata"]
	var m map[string]string
	if r.into("metadata", &m, "an object of strings") && len(m) > 16 {
		r.fail("metadata", "has %d keys, at most 16", len(m))
	}
	return raw
}
