package httpapi

import (
	"errors"
	"maps"
	"mime"
	"slices"
	"strings"

	"queen-rbee/fsm"
)

// The fields of the OpenAI API whose values are looked at: types and ranges as that API
// documents them. What they hold beyond that, and all other fields, is the engine's to judge.
var (
	commonFields = map[string]shape{
		"model":             aString,
		"stream":            aBool,
		"stream_options":    objectOf(map[string]shape{"include_usage": aBool}),
		"max_tokens":        aWhole(1, maxTokens),
		"n":                 aWhole(1, 128),
		"temperature":       aNumber(0, 2),
		"top_p":             aNumber(0, 1),
		"frequency_penalty": aNumber(-2, 2),
		"presence_penalty":  aNumber(-2, 2),
		"stop":              either("a string or a list of strings", map[byte]shape{'"': aString, '[': listOf(0, maxStops, aString)}),
		"seed":              aWhole(-1<<63, 1<<63-1),
		"logit_bias":        anObject,
		"user":              aString,
		keepAliveField:      keepAliveShape,
	}
	chatFields = fieldsAnd(commonFields, map[string]shape{
		"messages":              listOf(1, maxMessages, objectOf(map[string]shape{"role": aName, "content": content}, "role")),
		"max_completion_tokens": aWhole(1, maxTokens),
		"logprobs":              aBool,
		"top_logprobs":          aWhole(0, 20),
		"response_format":       objectOf(map[string]shape{"type": aString, "json_schema": anObject}, "type"),
		"tools":                 listOf(0, maxTools, objectOf(map[string]shape{"type": aString, "function": objectOf(map[string]shape{"name": aName, "parameters": anObject}, "name")}, "type")),
		"tool_choice":           either("a string or an object", map[byte]shape{'"': aString, '{': anObject}),
		"parallel_tool_calls":   aBool,
		"functions":             listOf(0, maxTools, objectOf(map[string]shape{"name": aName, "parameters": anObject}, "name")),
		"function_call":         either("a string or an object", map[byte]shape{'"': aString, '{': anObject}),
		"modalities":            listOf(0, maxTools, aString),
		"reasoning_effort":      aString,
		"verbosity":             aString,
		"metadata":              anObject,
		"store":                 aBool,
	})
	completionFields = fieldsAnd(commonFields, map[string]shape{
		"prompt":   either("a string or a list", map[byte]shape{'"': aString, '[': listOf(1, maxPrompts, prompt)}),
		"suffix":   aString,
		"echo":     aBool,
		"best_of":  aWhole(1, 128),
		"logprobs": aWhole(0, 20),
	})
)

// Bounds of lists in an OpenAI request; those of tokens of a prompt are the body's.
const (
	maxTools   = 4096
	maxPrompts = 1 << 22
)

var (
	content = either("a string or a list of parts", map[byte]shape{'"': aString, '[': listOf(0, maxMessages, objectOf(map[string]shape{"type": aName}, "type"))})
	prompt  = kind(`"[`+digits, "a string, a token or a list of tokens")
)

func fieldsAnd(common, more map[string]shape) map[string]shape {
	all := maps.Clone(common)
	maps.Copy(all, more)
	return all
}

// openAIRequest is what is read of an OpenAI body, and the body as its engine gets it: as it
// came, but for what was said to us alone.
type openAIRequest struct {
	Model     string
	Stream    bool
	KeepAlive fsm.KeepAlive
	Body      []byte
}

// readOpenAI reads a body whose fields have shapes; the needed ones must be there.
func readOpenAI(body []byte, shapes map[string]shape, needed ...string) (*openAIRequest, error) {
	fields, err := decodeBare(body)
	if err != nil {
		return nil, err
	}
	if err := checkNames(fields, shapes); err != nil {
		return nil, err
	}
	o := &openAIRequest{}
	for _, f := range fields {
		s := shapes[f.name]
		if s == nil {
			continue
		}
		if err := s.of(f.name, f.raw, false); err != nil {
			return nil, err
		}
		switch f.name {
		case "model":
			o.Model = unquoted(f.raw)
		case "stream":
			o.Stream = f.raw[0] == 't'
		}
	}
	if err := validateModel(o.Model); err != nil {
		return nil, err
	}
	for _, name := range needed {
		if !given(fields, name) {
			return nil, errField(name, "is missing")
		}
	}
	if given(fields, "max_tokens") && given(fields, "max_completion_tokens") && shapes["max_completion_tokens"] != nil {
		return nil, errField("max_tokens", "is given beside max_completion_tokens; give one of them")
	}
	o.Body, o.KeepAlive, err = takeKeepAlive(body, fields)
	return o, err
}

// checkNames is checkFields for fields that have shapes.
func checkNames(fields []field, shapes map[string]shape) error {
	for i, f := range fields {
		if shapes[f.name] != nil {
			if slices.ContainsFunc(fields[:i], func(other field) bool { return other.name == f.name }) {
				return errField(f.name, "is given twice")
			}
			continue
		}
		for known := range shapes { // at most one fits
			if strings.EqualFold(known, f.name) {
				return errField(f.name, "write it as %s", known)
			}
		}
	}
	return nil
}

// jsonTypes are what the Content-Type of a JSON body may be called; the last is what curl -d says.
var jsonTypes = []string{"application/json", "text/json", "text/plain", "application/x-www-form-urlencoded"}

// saysJSON refuses a body that says it is something else than JSON in UTF-8.
func saysJSON(contentType string) error {
	if contentType == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	switch {
	case err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter),
		!slices.Contains(jsonTypes, kind) && !strings.HasSuffix(kind, "+json"),
		charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii"):
		return &fieldError{"Content-Type", fsm.Errorf(codeMediaType, "Content-Type: is %.60q, must be application/json", contentType)}
	}
	return nil
}
