package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"queen-rbee/fsm"
)

// Bounds of what a request may say.
const (
	maxIdempotencyKey = 255
	maxName           = 256
	maxPathID         = 256 // of a job, hive, worker, queen or model
	maxTokens         = 1 << 24
	maxLabels         = 64
	maxStops          = 16
	maxMessages       = 65536
)

// validate checks what the types cannot.
func (t *taskRequest) validate() error {
	if err := validateModel(t.Model); err != nil {
		return err
	}
	switch {
	case t.Prompt == nil && t.Messages == nil:
		return errField("prompt", "give a prompt, or messages")
	case t.Prompt != nil && t.Messages != nil:
		return errField("prompt", "give either a prompt or messages, not both")
	case t.Messages != nil && len(t.Messages) == 0:
		return errField("messages", "is empty; at least one message is needed")
	case len(t.Messages) > maxMessages:
		return errField("messages", "%d, at most %d", len(t.Messages), maxMessages)
	case t.MaxTokens != nil && (*t.MaxTokens < 1 || *t.MaxTokens > maxTokens):
		return errField("max_tokens", "is %d, must be 1 to %d", *t.MaxTokens, maxTokens)
	case t.Temperature != nil && (*t.Temperature < 0 || *t.Temperature > 2):
		return errField("temperature", "is %g, must be 0 to 2", *t.Temperature)
	case t.TopP != nil && (*t.TopP <= 0 || *t.TopP > 1):
		return errField("top_p", "is %g, must be above 0, at most 1", *t.TopP)
	}
	if err := cmp.Or(validateName("session", t.Session, maxName), validateName("hive", t.Hive, fsm.MaxID)); err != nil {
		return err
	}
	for i, m := range t.Messages {
		if err := validateMessage(i, m); err != nil {
			return err
		}
	}
	return validateStop(t.Stop)
}

func validateModel(model string) error {
	if model == "" {
		return errField("model", "is missing; GET /v1/models lists what there is")
	}
	return validateName("model", model, maxName)
}

// validateName takes what may stand in a log and in the state: text on one line, of at most so
// many bytes. It may be empty.
func validateName(field, name string, most int) error {
	switch {
	case len(name) > most:
		return errField(field, "%d bytes, at most %d", len(name), most)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return errField(field, "%.60q holds control characters; use printable text", name)
	}
	return nil
}

// withinOf reads how long after its acceptance a job ends at the latest; 0 when nothing is said.
func withinOf(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errField(field, "%.40q must be a duration above 0, like 30s or 5m", s)
	}
	return d, nil
}

func validateMessage(i int, m json.RawMessage) error {
	var msg struct {
		Role *string `json:"role"`
	}
	if err := json.Unmarshal(m, &msg); err != nil || msg.Role == nil || *msg.Role == "" {
		return errField(fmt.Sprintf("messages[%d]", i), "must be an object with a role and content")
	}
	return nil
}

// validateStop takes a string or a short list of strings.
func validateStop(raw json.RawMessage) error {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return nil
	}
	var many []*string
	if json.Unmarshal(raw, &many) != nil || len(many) > maxStops || slices.Contains(many, nil) {
		return errField("stop", "must be a string or a list of at most %d strings", maxStops)
	}
	return nil
}

func priorityOf(field, s string) (fsm.Priority, error) {
	switch s {
	case "", "interactive":
		return fsm.PriorityInteractive, nil
	case "batch":
		return fsm.PriorityBatch, nil
	}
	return 0, errField(field, "%.40q must be interactive or batch", s)
}

func onLossOf(s string) (fsm.OnLoss, error) {
	switch s {
	case "", "fail":
		return fsm.LossFail, nil
	case "restart":
		return fsm.LossRestart, nil
	case "continue":
		return 0, errField("on_worker_loss", "continue is not built yet; use fail or restart")
	}
	return 0, errField("on_worker_loss", "%.40q must be fail or restart", s)
}

func labelsOf(m map[string]string) ([]fsm.Label, error) {
	if len(m) > maxLabels {
		return nil, errField("labels", "%d, at most %d", len(m), maxLabels)
	}
	var out []fsm.Label
	for k, v := range m {
		if k == "" || len(k) > maxName || len(v) > maxName {
			return nil, errField("labels", "%.60q: keys of 1 to %d bytes, values of at most as many", k, maxName)
		}
		if err := validateName("labels", k+v, 2*maxName); err != nil {
			return nil, err
		}
		out = append(out, fsm.Label{Key: k, Value: v})
	}
	slices.SortFunc(out, func(a, b fsm.Label) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}
