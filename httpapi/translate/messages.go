package translate

import "encoding/json"

// foreignToMessages are fields of chat/completions that Messages has under another name.
var foreignToMessages = map[string]string{
	"max_completion_tokens": "here it is max_tokens",
	"stop":                  "here it is stop_sequences",
	"response_format":       "here it is output_config.format",
	"reasoning_effort":      "here it is output_config.effort",
	"stream_options":        "usage always comes here",
	"n":                     "a message is one",
	"parallel_tool_calls":   "here it is tool_choice.disable_parallel_tool_use",
	"functions":             "give tools",
	"function_call":         "give tool_choice",
	"modalities":            "a message is text",
	"audio":                 "a message is text",
}

// Messages reads the body of POST /v1/messages. Its error is a *FieldError.
func Messages(body []byte) (*Request, error) {
	r := read(body)
	req := &Request{answer: newMessage}
	f := fields{}

	req.Model = r.must("model")
	f["model"] = req.Model
	req.Stream, _ = r.boolean("stream")
	if req.Stream {
		f["stream"] = true
		f["stream_options"] = map[string]bool{"include_usage": true}
	}
	n, ok := r.whole("max_tokens", 1, 1<<24)
	if !ok {
		r.fail("max_tokens", "is missing; say how many tokens the answer may have at most")
	}
	f["max_tokens"] = n

	conversation := &chat{}
	if system := readBlocks(r, "system"); len(system) > 0 {
		conversation.say("system", []part{textPart(joinTexts(system))})
	}
	readMessages(r, conversation)
	f["messages"] = conversation.end()

	r.into("stop_sequences", &req.stops, "a list of strings")
	f.set("stop", req.stops, len(req.stops) > 0)
	v, ok := r.number("temperature", 0, 2)
	f.set("temperature", v, ok)
	v, ok = r.number("top_p", 0, 1)
	f.set("top_p", v, ok)
	k, ok := r.whole("top_k", 0, 1<<24)
	f.set("top_k", k, ok)
	if m := r.object("metadata"); m != nil {
		user, ok := m.str("user_id")
		f.set("user", user, ok)
		m.end()
	}
	readAnthropicTools(r, f)
	readThinking(r, f, req)
	readOutput(r, f)
	r.withoutServices()

	req.Body = f.body(r, foreignToMessages)
	if r.failed() {
		return nil, *r.err
	}
	return req, nil
}

// withoutServices refuses what only Anthropic's own service does. Marks for a cache change no
// answer: engines keep prompts by themselves.
func (r *reader) withoutServices() {
	r.ignore("cache_control")
	r.only("service_tier", "there is one tier; X-Rbee-Priority says what may wait", `"auto"`, `"standard_only"`)
	r.only("container", "there are no containers here; leave it out")
	r.only("mcp_servers", "MCP servers are not called from here; leave it out")
	r.only("inference_geo", "nothing is known of places here; labels of hives say where a task may run")
	r.only("user_profile_id", "there are no user profiles here; leave it out")
	r.contextManagement()
}

// contextManagement takes the edits that edit nothing.
func (r *reader) contextManagement() {
	m := r.object("context_management")
	if m == nil {
		return
	}
	edits, _ := m.list("edits")
	m.each("edits", edits, func(_ string, e *reader) {
		kind := e.must("type")
		keep, _ := e.take("keep")
		if kind != "clear_thinking_20251015" || string(keep) != `"all"` {
			e.fail("type", "is %.60q; nothing is taken out of a conversation here, send what the model should see", kind)
		}
		e.end()
	})
	m.end()
}

func readAnthropicTools(r *reader, f fields) {
	items, _ := r.list("tools")
	var tools []rawJSON
	r.each("tools", items, func(at string, t *reader) {
		if kind, ok := t.str("type"); ok && kind != "custom" {
			r.fail(at+".type", "%.60q is a tool of Anthropic's service, of which there are none; give tools with an input_schema", kind)
			return
		}
		name := t.must("name")
		schema, ok := t.take("input_schema")
		if !ok || schema[0] != '{' {
			t.fail("input_schema", "must be a JSON schema")
		}
		var description any
		if d, ok := t.str("description"); ok {
			description = d
		}
		strict := t.in["strict"]
		t.boolean("strict")
		t.ignore("cache_control", "eager_input_streaming")
		t.only("allowed_callers", "only the model itself calls", `["direct"]`)
		t.only("defer_loading", "tools are not searched for; send those that the model may call")
		t.only("input_examples", "engines take no examples; put them into the description")
		t.end()
		tools = append(tools, tool(name, description, schema, strict))
	})
	f.set("tools", tools, len(tools) > 0)

	c := r.object("tool_choice")
	if c == nil {
		return
	}
	switch kind := c.must("type"); kind {
	case "auto", "none":
		f["tool_choice"] = kind
	case "any":
		f["tool_choice"] = "required"
	case "tool":
		f["tool_choice"] = oneTool(c.must("name"))
	default:
		c.fail("type", "is %.40q, must be auto, any, tool or none", kind)
	}
	if one, ok := c.boolean("disable_parallel_tool_use"); ok {
		f["parallel_tool_calls"] = !one
	}
	c.end()
}

// readThinking shows the model's reasoning to those who ask for it. llama.cpp honours the budget
// under this name; an engine that knows none reasons as it does.
func readThinking(r *reader, f fields, req *Request) {
	t := r.object("thinking")
	if t == nil {
		return
	}
	switch kind := t.must("type"); kind {
	case "disabled":
	case "enabled":
		req.shows = true
		budget, ok := t.whole("budget_tokens", 1, 1<<24)
		if !ok {
			t.fail("budget_tokens", "is missing")
		}
		f["thinking_budget_tokens"] = budget
	case "adaptive":
		req.shows = true
	default:
		t.fail("type", "is %.40q, must be enabled, adaptive or disabled", kind)
	}
	switch display, _ := t.str("display"); display {
	case "", "summarized": // it comes as the engine gives it
	case "omitted":
		req.shows = false
	default:
		t.fail("display", "is %.40q, must be summarized or omitted", display)
	}
	t.end()
}

// readOutput takes the format of the answer, and how hard the model should think.
func readOutput(r *reader, f fields) {
	o := r.object("output_config")
	if o == nil {
		return
	}
	switch effort, ok := o.str("effort"); effort {
	case "low", "medium", "high":
		f["reasoning_effort"] = effort
	case "xhigh", "max":
		f["reasoning_effort"] = "high" // engines know no more
	default:
		if ok {
			o.fail("effort", "is %.40q, must be low, medium, high, xhigh or max", effort)
		}
	}
	if format := o.object("format"); format != nil {
		if kind := format.must("type"); kind != "json_schema" {
			format.fail("type", "is %.40q, must be json_schema", kind)
		}
		schema, ok := format.take("schema")
		if !ok || schema[0] != '{' {
			format.fail("schema", "must be a JSON schema")
		}
		f["response_format"] = jsonSchema("answer", schema, json.RawMessage("true"), "")
		format.end()
	}
	o.end()
}
