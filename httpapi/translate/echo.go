package translate

// echo is what a response repeats of its request.
type echo struct {
	instructions, maxOutput, temperature, topP, user rawJSON
	tools, toolChoice, parallel                      rawJSON
	text, effort, topLogprobs, metadata              rawJSON
}

// json is the end of every response object, from the model's name on, without the first brace.
func (e *echo) json(model string) rawJSON {
	or := func(v rawJSON, otherwise string) rawJSON {
		if isNull(v) {
			return rawJSON(otherwise)
		}
		return rawJSON(compact(v))
	}
	text := or(e.text, `{"format":{"type":"text"}}`)
	b := appendObject(nil,
		"model", model,
		"instructions", or(e.instructions, "null"),
		"max_output_tokens", or(e.maxOutput, "null"),
		"metadata", or(e.metadata, "{}"),
		"parallel_tool_calls", or(e.parallel, "true"),
		"previous_response_id", nil,
		"background", false,
		"reasoning", object("effort", or(e.effort, "null"), "summary", nil),
		"service_tier", "default",
		"store", false,
		"temperature", or(e.temperature, "null"),
		"text", text,
		"tool_choice", or(e.toolChoice, `"auto"`),
		"tools", or(e.tools, "[]"),
		"top_logprobs", or(e.topLogprobs, "0"),
		"top_p", or(e.topP, "null"),
		"truncation", "disabled",
		"user", or(e.user, "null"),
	)
	return b[1:]
}
