package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"queen-rbee/fsm"
)

// keepAliveField is Ollama's: how long the worker stays after the job.
const keepAliveField = "keep_alive"

// keepAliveOf reads what Ollama's clients say: a duration, or seconds as a number or as text; 0
// stops the worker when nothing else runs on it, below 0 it stays for ever.
func keepAliveOf(name string, raw []byte) (fsm.KeepAlive, error) {
	said := string(raw)
	if raw[0] == '"' {
		said = unquoted(raw)
	}
	if seconds, err := strconv.ParseFloat(said, 64); json.Valid([]byte(said)) && (err == nil || errors.Is(err, strconv.ErrRange)) {
		switch {
		case seconds < 0:
			return fsm.KeepForever, nil
		case seconds > fsm.MaxKeepAlive.Seconds():
			return fsm.KeepFor(fsm.MaxKeepAlive + 1), nil
		}
		return fsm.KeepFor(time.Duration(seconds * float64(time.Second))), nil
	}
	if d, err := time.ParseDuration(said); raw[0] == '"' && err == nil {
		return fsm.KeepFor(d), nil
	}
	return 0, errShape(name, raw, "a duration like 5m or a number of seconds, 0 for none, -1 for ever")
}

// keepAliveShape is right for what keepAliveOf reads.
func keepAliveShape(name string, raw []byte) error {
	_, err := keepAliveOf(name, raw)
	return err
}

// withoutField is an object without one of its fields, all else byte for byte as it was.
func withoutField(body []byte, f field) []byte {
	before, after := body[:f.begin], body[f.end:]
	if rest := bytes.TrimLeft(after, " \t\r\n"); rest[0] == ',' {
		after = bytes.TrimLeft(rest[1:], " \t\r\n")
	} else {
		before = bytes.TrimRight(bytes.TrimRight(before, " \t\r\n"), ",")
	}
	return append(append(make([]byte, 0, len(before)+len(after)), before...), after...)
}

// takeKeepAlive reads and takes out the field keep_alive of a JSON object; engines do not know it.
// A body without it is given back as it is.
func takeKeepAlive(body []byte, fields []field) ([]byte, fsm.KeepAlive, error) {
	for _, f := range fields {
		if f.name != keepAliveField {
			continue
		}
		var keep fsm.KeepAlive
		if !isNull(f.raw) {
			var err error
			if keep, err = keepAliveOf(f.name, f.raw); err != nil {
				return nil, 0, err
			}
		}
		return withoutField(body, f), keep, nil
	}
	return body, 0, nil
}
