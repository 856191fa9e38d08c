package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// engineProps is what llama-server says of itself in /props; zero for engines that have none.
// Its config is no witness: -c is divided by -np, and both have defaults.
type engineProps struct {
	Slots    int    `json:"total_slots"` // runs it really holds at once
	Alias    string `json:"model_alias"`
	Path     string `json:"model_path"`
	Settings struct {
		Context int `json:"n_ctx"` // tokens of one slot
	} `json:"default_generation_settings"`
	Replay bool `json:"-"` // it keeps streams for who comes again
}

func (e engineProps) context() int { return max(0, e.Settings.Context) }

// props asks for them. An error means that whoever answers on the port is not the process that
// was started there: /health of another one answers just as well.
func (p *probe) props(ctx context.Context) (engineProps, error) {
	status, body, err := p.get(ctx, "/props", propsTimeout)
	if p.keyed && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		return engineProps{}, fmt.Errorf("another process answers on its port: it does not take this start's key (%d)", status)
	}
	var props engineProps
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &props) != nil {
		return engineProps{}, nil
	}
	if p.alias != "" && props.Alias != p.alias {
		return engineProps{}, fmt.Errorf("another process answers on its port: it serves %.100q, not %q", props.Alias, p.alias)
	}
	if props.Slots = max(0, props.Slots); props.Slots > 0 { // others are not asked for what only llama-server has
		props.Replay = p.replays(ctx)
	}
	return props, nil
}

// keyed tells whether its processes are given the key of their start.
func (d Definition) keyed() bool {
	return d.mentions(".Key")
}

// aliased tells whether a llama-server of it is told to call its model by the ref.
func (d Definition) aliased() bool {
	at := slices.Index(d.Command, "--alias")
	return at >= 0 && at+1 < len(d.Command) && strings.ReplaceAll(d.Command[at+1], " ", "") == "{{.Model}}"
}
