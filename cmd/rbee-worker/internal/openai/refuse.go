package openai

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Fields of the API that this engine cannot do. Values that ask for nothing ("none", false,
// [], the default) are let through: many clients send them always.
var (
	unsupported       = []string{"logit_bias", "logprobs", "response_format", "json_schema", "grammar"}
	unsupportedInChat = slices.Concat(unsupported, []string{
		"tools", "tool_choice", "functions", "function_call", "top_logprobs", "modalities",
		"audio", "prediction", "web_search_options", "reasoning_effort", "verbosity",
	})
	unsupportedInCompletion = slices.Concat(unsupported, []string{"echo", "suffix", "best_of"})
)

// harmless are the values of a field that ask for nothing beyond what the engine does anyway.
var harmless = map[string][]string{
	"tool_choice":      {`"none"`, `"auto"`},
	"function_call":    {`"none"`, `"auto"`},
	"modalities":       {`["text"]`},
	"response_format":  {`{"type":"text"}`},
	"reasoning_effort": {`"none"`},
	"top_logprobs":     {`0`},
	"best_of":          {`1`},
}

func (f *fields) refuse(names []string) {
	for _, name := range names {
		if f.given(name) {
			f.fail(name, "is not supported by this model; leave it out")
		}
	}
}

// given says whether a field asks for something: not absent, null, false, empty or harmless.
func (f *fields) given(name string) bool {
	raw := f.get(name)
	if raw == nil {
		return false
	}
	var plain bytes.Buffer
	if err := json.Compact(&plain, raw); err != nil {
		return true
	}
	value := plain.String()
	if slices.Contains([]string{"false", `""`, "[]", "{}"}, value) {
		return false
	}
	return !slices.ContainsFunc(harmless[name], func(h string) bool { return strings.EqualFold(h, value) })
}
