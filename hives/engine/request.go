package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"queen-rbee/hives"
)

// bounds are the names under which engines take the most tokens of an answer.
var bounds = []string{"max_tokens", "max_completion_tokens", "n_predict", "num_predict", "max_new_tokens"}

// forceStream returns body with `stream` true and `stream_options.include_usage` true, and with
// max_tokens at most where that is above 0 and the body names no bound. All other members keep
// their bytes and their order.
func forceStream(body []byte, most int) ([]byte, error) {
	names, bound := []string{"stream", "stream_options"}, ""
	if most > 0 && !hasBound(body) {
		names, bound = append(names, bounds...), fmt.Sprintf(`"max_tokens":%d,`, most) // in place of nulls
	}
	kept, old, err := without(body, names...)
	if err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "the body must be one JSON object: %v", err)
	}
	options := []byte("{}")
	if v := old["stream_options"]; present(v) {
		options = v
	}
	rest, _, err := without(options, "include_usage")
	if err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "stream_options: must be an object or null")
	}
	options = object(rest, `"include_usage":true`)
	return object(kept, bound+`"stream":true,"stream_options":`+string(options)), nil
}

// hasBound tells whether a body says how long its answer may be.
func hasBound(body []byte) bool {
	_, named, _ := without(body, bounds...)
	for _, v := range named {
		if present(v) {
			return true
		}
	}
	return false
}

// object makes an object of members as they stand, and more behind them.
func object(members [][]byte, more string) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range members {
		out.Write(m)
		if i < len(members)-1 || more != "" {
			out.WriteByte(',')
		}
	}
	out.WriteString(more)
	out.WriteByte('}')
	return out.Bytes()
}

// without splits a JSON object into the source bytes of its members, and takes those of the
// given names out: their values are returned apart (the last one, if a name comes twice).
func without(obj []byte, names ...string) (kept [][]byte, taken map[string]json.RawMessage, err error) {
	if !json.Valid(obj) {
		return nil, nil, json.Unmarshal(obj, new(json.RawMessage)) // says what is wrong
	}
	if obj = bytes.TrimLeft(obj, space); obj[0] != '{' {
		return nil, nil, errors.New("it does not begin with {")
	}
	taken = map[string]json.RawMessage{}
	for rest := bytes.TrimLeft(obj[1:], space); rest[0] != '}'; {
		quoted := value(rest)
		behind := bytes.TrimLeft(rest[len(quoted):], space+":")
		v := value(behind)
		name := string(quoted[1 : len(quoted)-1])
		if strings.Contains(name, `\`) {
			_ = json.Unmarshal(quoted, &name) // it is valid
		}
		if slices.Contains(names, name) {
			taken[name] = json.RawMessage(v)
		} else {
			kept = append(kept, rest[:len(rest)-len(behind)+len(v)])
		}
		rest = bytes.TrimLeft(behind[len(v):], space+",")
	}
	return kept, taken, nil
}

const space = " \t\r\n"

// value is the JSON value that valid JSON goes on with.
func value(b []byte) []byte {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ' ', '\t', '\r', '\n', ':':
			continue
		default: // a number or a word, up to what cannot be of it
			if n := bytes.IndexAny(b[i:], ",]} \t\r\n"); n > 0 {
				i += n - 1
			}
		}
		if depth == 0 {
			return b[:i+1]
		}
	}
	return b
}

// choices returns how many choices the request asks for: n for each of its prompts.
func choices(path string, body []byte) (int, error) {
	_, req, err := without(body, "n", "prompt")
	if err != nil {
		return 0, hives.Errorf(hives.CodeInvalid, "the body must be one JSON object: %v", err)
	}
	n := 1
	if present(req["n"]) {
		if err := json.Unmarshal(req["n"], &n); err != nil || n < 1 || n > maxChoices {
			return 0, hives.Errorf(hives.CodeInvalid, "n: must be a whole number from 1 to %d", maxChoices)
		}
	}
	if !strings.HasSuffix(path, "/chat/completions") {
		n *= prompts(req["prompt"])
	}
	if n > maxChoices {
		return 0, hives.Errorf(hives.CodeInvalid, "prompt: %d choices are asked for (n times the prompts), at most %d are allowed", n, maxChoices)
	}
	return n, nil
}

// prompts counts the prompts of a legacy completion: a list of strings or of token lists is
// several, a string or one list of tokens is one.
func prompts(v json.RawMessage) int {
	var list []json.RawMessage
	if json.Unmarshal(v, &list) != nil || len(list) == 0 || list[0][0] != '"' && list[0][0] != '[' {
		return 1
	}
	return len(list)
}
