package engine

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// modelsPath is where every OpenAI server lists its models.
	modelsPath = "/v1/models"
	// externalProbe is how often one is asked for its health: it is not ours alone.
	externalProbe = 5 * time.Second
)

// External is an OpenAI server that runs already, somewhere.
type External struct {
	URL    string  // base URL without /v1 and without a trailing slash; http or https
	KeyEnv string  // name of the environment variable the key is from; empty: no key
	Key    string  // sent as a bearer token; empty for none
	Slots  int     // concurrent runs for each model; 0: as the server says, or what is usual for it
	Only   []Model // by Name, what it does not say filled in: all else it lists is not offered
}

// ParseExternal reads NAME=URL or a URL alone, whose host is the name then.
func ParseExternal(text string) (name string, s Spec, err error) {
	name, address, named := strings.Cut(text, "=")
	if !named || strings.Contains(name, "/") {
		name, address = "", text
	}
	base, err := externalURL(address)
	if err != nil {
		return "", Spec{}, err
	}
	if name == "" {
		u, _ := url.Parse(base) // externalURL has
		name = strings.Trim(strings.ReplaceAll(u.Hostname(), ":", "-"), "-")
	}
	if !namePattern.MatchString(name) {
		return "", Spec{}, fmt.Errorf("%.70q is no name of an engine: use NAME=URL with 1 to 64 letters, digits and . _ -", name)
	}
	return name, Spec{URL: base}, nil
}

// externalURL checks a server's URL. People give it with and without the /v1 of clients.
func externalURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("%.200q is not a URL: use one such as http://gpu7:8000", text)
	case u.User != nil:
		return "", fmt.Errorf("%.20q holds a password: give the key in an environment variable and its name in api_key_env", u.Scheme+"://...")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%.200q holds more than scheme, host, port and path", text)
	}
	return strings.TrimSuffix(strings.TrimRight(text, "/"), "/v1"), nil
}

// external completes d for a server that runs already.
func (s Spec) external(d Definition) (Definition, error) {
	base, err := externalURL(s.URL)
	if err != nil {
		return Definition{}, fieldError(d.Name, "url", "%v", err)
	}
	x := &External{URL: base, KeyEnv: s.APIKeyEnv, Slots: s.Slots}
	if x.KeyEnv != "" {
		if x.Key = os.Getenv(x.KeyEnv); x.Key == "" {
			return Definition{}, fieldError(d.Name, "api_key_env", "the environment variable %.100s is not set: put the server's key into it", x.KeyEnv)
		}
		if strings.ContainsFunc(x.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return Definition{}, fieldError(d.Name, "api_key_env", "the key in %.100s holds blanks or other characters that no header takes", x.KeyEnv)
		}
	}
	if x.Only, err = onlyModels(d.Name, s.Models); err != nil {
		return Definition{}, err
	}
	if s.Health == "" {
		d.Health = modelsPath
	}
	if slices.ContainsFunc(x.Only, func(m Model) bool { return m.VRAMBytes > 0 }) {
		return Definition{}, fieldError(d.Name, "models", "a model of a server that runs already takes no memory here: leave vram_bytes out")
	}
	d.External = x
	return d, d.Validate()
}

// onlyModels checks the models that alone are wanted of a server. One without a name goes by
// the server's own, as far as a ref can.
func onlyModels(engine string, specs []ModelSpec) ([]Model, error) {
	var out []Model
	for _, s := range specs {
		m := Model{Ref: s.Ref, Name: s.Name, VRAMBytes: int64(s.VRAMBytes), Slots: s.Slots, Context: s.Context}
		if m.Name == "" {
			m.Ref, m.Name = cleanRef(s.Ref), s.Ref
		}
		switch {
		case !refPattern.MatchString(m.Ref):
			return nil, fieldError(engine, "models.ref", "%.70q: use 1 to 256 letters, digits and . _ : / @ + -", s.Ref)
		case slices.ContainsFunc(out, func(had Model) bool { return had.Ref == m.Ref }):
			return nil, fieldError(engine, "models", "%.100s is listed twice: keep one", m.Ref)
		case s.Path != "" || s.VRAMBytes < 0:
			return nil, fieldError(engine, "models", "%.100s: this engine has its models itself: leave path out, and vram_bytes 0 or more", m.Ref)
		case m.Slots < 0 || m.Slots > 1<<16 || m.Context < 0:
			return nil, fieldError(engine, "models", "%.100s: use 1 to 65536 slots, and a context of 0 or more", m.Ref)
		}
		out = append(out, m)
	}
	return out, nil
}
