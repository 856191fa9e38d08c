package crowd

import (
	"errors"
	"io"
	"strings"
	"testing"

	"queen-rbee/cmd/internal/chaos/history"
)

func chunk(text string) string {
	return `data: {"choices":[{"delta":{"content":"` + text + `"}}]}` + "\n"
}

const role = `data: {"choices":[{"delta":{"role":"assistant"}}]}` + "\n\n"

// readAll reads connections one after the other and gives the order and the ids it was at.
func readAll(connections ...string) (*chatOrder, error) {
	o := &chatOrder{}
	for _, text := range connections {
		o.again()
		err := readChat(strings.NewReader(text), func(f history.Frame) error {
			gone, err := o.take(f)
			if gone {
				return errGone
			}
			return err
		})
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return o, err
		}
	}
	return o, nil
}

func TestChatIsRead(t *testing.T) {
	for name, tt := range map[string]struct {
		connections []string
		text, final string
		at          string
	}{
		"whole": {
			[]string{"retry: 250\n: queued\nid: 1.1\n" + role + chunk("a ") + "id: 1.2\n\n" + chunk("b") + "id: 1.3\n\ndata: [DONE]\nid: 1.4\n\n"},
			"a b", "[DONE]", "1.4",
		},
		"resumed, a record sent again": {
			[]string{
				"id: 1.1\n" + role + chunk("a ") + "id: 1.2\n\n" + chunk("b") + "\n" + chunk("c"),
				chunk("b") + "\n" + chunk("c") + "id: 1.3\n\ndata: [DONE]\nid: 1.4\n\n",
			},
			"a bc", "[DONE]", "1.4",
		},
		"failed": {
			[]string{"id: 1.1\n" + chunk("a") + "id: 1.2\n\nid: 1.3\ndata: {\"error\":{\"code\":\"worker_failed\"}}\n\n"},
			"a", `{"error":{"code":"worker_failed"}}`, "1.3",
		},
		"failed before it began": {
			[]string{"id: 0.1\ndata: {\"error\":{\"code\":\"cancelled\"}}\n\n"},
			"", `{"error":{"code":"cancelled"}}`, "0.1",
		},
		"tried again before a text": {
			[]string{"id: 1.1\n", "id: 2.1\n" + chunk("a") + "id: 2.2\n\ndata: [DONE]\nid: 2.3\n\n"},
			"a", "[DONE]", "2.3",
		},
	} {
		o, err := readAll(tt.connections...)
		if err != nil || o.text != tt.text || o.final != tt.final || o.id() != tt.at {
			t.Errorf("%s: text %q, end %q at %s, %v", name, o.text, o.final, o.id(), err)
		}
	}
}

func TestBrokenChatIsSeen(t *testing.T) {
	for name, connections := range map[string][]string{
		"a gap":                {"id: 1.1\n" + chunk("a") + "id: 1.3\n\n"},
		"a repeat":             {"id: 1.1\n" + chunk("a") + "id: 1.2\n\n", chunk("a") + "id: 1.2\n\n"},
		"two texts in one":     {"id: 1.1\n" + chunk("a") + "id: 1.2\n\n", "id: 2.1\n" + chunk("a") + "id: 2.2\n\n"},
		"more after the end":   {"id: 1.1\ndata: [DONE]\nid: 1.2\n\n" + chunk("a") + "id: 1.3\n\n"},
		"two ends":             {"id: 1.1\ndata: [DONE]\nid: 1.2\n\n", "id: 1.3\ndata: {\"error\":{\"code\":\"x\"}}\n\n"},
		"an end without an id": {"id: 1.1\n" + chunk("a") + "id: 1.2\n\ndata: [DONE]\n\n"},
		"an event":             {"event: token\n"},
		"no JSON":              {"data: {\nid: 1.1\n\n"},
	} {
		if _, err := readAll(connections...); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestStreamThatDivergesIsLeft(t *testing.T) {
	_, err := readAll("id: 1.1\n" + chunk("a") + "id: 1.2\n\ndata: {\"error\":{\"code\":\"stream_diverged\"},\"scope\":\"stream\"}\n\n")
	if !errors.Is(err, errGone) {
		t.Errorf("reading gives %v", err)
	}
}

func TestErrorsOfBothFormsAreAnswers(t *testing.T) {
	for _, body := range []string{`{"code":"no_leader"}`, `{"error":{"code":"no_leader"}}`} {
		if a := answered(503, nil, []byte(body)); a.Code != "no_leader" || a.Outcome != history.Refused {
			t.Errorf("%s is %+v", body, a)
		}
	}
}
