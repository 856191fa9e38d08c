package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"queen-rbee/hives"
)

// forceStream returns body with `stream` true and `stream_options.include_usage` true. All other
// members keep their bytes and their order.
func forceStream(body []byte) ([]byte, error) {
	kept, old, err := without(body, "stream", "stream_options")
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
	return object(kept, `"stream":true,"stream_options":`+string(options)), nil
}

// object makes an object of members as they stand, and more behind them.
func object(members [][]byte, more string) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for _, m := range members {
		out.Write(m)
		out.WriteByte(',')
	}
	out.WriteString(more)
	out.WriteByte('}')
	return out.Bytes()
}

// without splits a JSON object into the source bytes of its members, and takes those of the
// given names out: their values are returned apart (the last one, if a name comes twice).
func without(obj []byte, names ...string) (kept [][]byte, taken map[string]json.RawMessage, err error) {
	dec := json.NewDecoder(bytes.NewReader(obj))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, cmp.Or(err, errors.New("it does not begin with {"))
	}
	taken = map[string]json.RawMessage{}
	for dec.More() {
		start := int(dec.InputOffset())
		t, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		if slices.Contains(names, name) {
			taken[name] = value
			continue
		}
		kept = append(kept, bytes.TrimLeft(obj[start:dec.InputOffset()], ", \t\r\n"))
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("something follows the object")
	}
	return kept, taken, nil
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
