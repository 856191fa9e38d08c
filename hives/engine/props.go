package engine

import (
	"context"
	"encoding/json"
	"net/http"
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
}

func (e engineProps) context() int { return max(0, e.Settings.Context) }

// props asks for them.
func (p *probe) props(ctx context.Context) engineProps {
	status, body, err := p.get(ctx, "/props", propsTimeout)
	var props engineProps
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &props) != nil {
		return engineProps{}
	}
	props.Slots = max(0, props.Slots)
	return props
}
