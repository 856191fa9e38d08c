package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

var (
	queens = strings.Split(os.Getenv("RBEE_QUEENS"), ",")
	apiKey = os.Getenv("RBEE_API_KEY")
	model  = os.Getenv("RBEE_MODEL")
)

// connect makes a client of the first queen.
func connect(more ...option.RequestOption) openai.Client {
	base := []option.RequestOption{option.WithBaseURL(queens[0] + "/v1"), option.WithAPIKey(apiKey), option.WithMaxRetries(0)}
	return openai.NewClient(append(base, more...)...)
}

func ask(seed, most int64) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: model, Seed: openai.Int(seed), MaxTokens: openai.Int(most),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Tell me of the bees")},
	}
}

// answer is what both ways of asking give.
type answer struct {
	text, finish string
	usage        int64
}

func whole(ctx context.Context, c openai.Client, p openai.ChatCompletionNewParams, o ...option.RequestOption) (answer, error) {
	got, err := c.Chat.Completions.New(ctx, p, o...)
	if err != nil {
		return answer{}, err
	}
	return answer{got.Choices[0].Message.Content, got.Choices[0].FinishReason, got.Usage.CompletionTokens}, nil
}

// stream calls met, if it is not nil, after each chunk.
func stream(ctx context.Context, c openai.Client, p openai.ChatCompletionNewParams, met func()) (answer, error) {
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	s := c.Chat.Completions.NewStreaming(ctx, p)
	defer s.Close()
	var all openai.ChatCompletionAccumulator
	for s.Next() {
		if !all.AddChunk(s.Current()) {
			return answer{}, fmt.Errorf("chunk %s does not fit", s.Current().RawJSON())
		}
		if met != nil {
			met()
		}
	}
	if s.Err() != nil {
		return answer{}, s.Err()
	}
	return answer{all.Choices[0].Message.Content, all.Choices[0].FinishReason, all.Usage.CompletionTokens}, nil
}

// native reads the native API at the second queen.
func native(t *testing.T, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, queens[1]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
}

// jobs are the ids of the jobs there are, or of those in a state.
func jobs(t *testing.T, state string) (ids []string) {
	t.Helper()
	var list struct{ Items []struct{ ID string } }
	native(t, "/v2/jobs?limit=1000&consistency=strong&state="+state, &list)
	for _, j := range list.Items {
		ids = append(ids, j.ID)
	}
	return ids
}

// until asks again and again; the time is that of a machine with much else to do.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	over := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s has not come about", what)
		}
	}
}

func TestStreamAndWholeAreTheSame(t *testing.T) {
	c := connect()
	w, err := whole(t.Context(), c, ask(7, 12))
	s, err2 := stream(t.Context(), c, ask(7, 12), nil)
	if err != nil || err2 != nil || w != s || len(w.text) < 10 || w.finish != "length" || w.usage != 12 {
		t.Errorf("%+v, %v\n%+v, %v", w, err, s, err2)
	}
}

func TestAbortFreesTheSlot(t *testing.T) {
	for name, call := range map[string]func(context.Context) error{
		"stream": func(ctx context.Context) error { _, err := stream(ctx, connect(), ask(7, 4000), nil); return err },
		"whole":  func(ctx context.Context) error { _, err := whole(ctx, connect(), ask(7, 4000)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan error, 1)
			go func() { over <- call(ctx) }()
			var ids []string
			until(t, "a running job", func() bool { ids = jobs(t, "running"); return len(ids) > 0 })
			began := time.Now()
			cancel()
			if err := <-over; !errors.Is(err, context.Canceled) {
				t.Errorf("the call gave %v", err)
			}
			until(t, "an idle cluster", func() bool {
				busy := 0
				var workers struct{ Items []struct{ Busy int } }
				native(t, "/v2/workers?consistency=strong", &workers)
				for _, w := range workers.Items {
					busy += w.Busy
				}
				return busy == 0
			})
			t.Logf("the slot was free after %d ms", time.Since(began).Milliseconds())
			var job struct{ State string }
			if native(t, "/v2/jobs/"+ids[0]+"?consistency=strong", &job); job.State != "cancelled" {
				t.Errorf("the job is %s", job.State)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	bad := ask(7, 12)
	bad.Temperature = openai.Float(7)
	other := ask(7, 12)
	other.Model = "nobody/has-this"
	for _, c := range []struct {
		client      openai.Client
		p           openai.ChatCompletionNewParams
		status      int
		code, param string
	}{
		{connect(option.WithAPIKey("wrong")), ask(7, 12), 401, "invalid_api_key", ""},
		{connect(), other, 404, "model_not_found", "model"},
		{connect(), bad, 400, "invalid_request", "temperature"},
	} {
		_, errW := whole(t.Context(), c.client, c.p)
		_, errS := stream(t.Context(), c.client, c.p, nil)
		for _, err := range []error{errW, errS} {
			var e *openai.Error
			if !errors.As(err, &e) || e.StatusCode != c.status || e.Code != c.code || e.Param != c.param || e.Message == "" {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}

func TestTwentyCallsOnFourSlots(t *testing.T) {
	c := connect()
	var wait sync.WaitGroup
	answers, errs := make([]answer, 20), make([]error, 20)
	for i := range answers {
		wait.Go(func() {
			if p := ask(int64(i%5), 12); i%2 == 0 {
				answers[i], errs[i] = stream(t.Context(), c, p, nil)
			} else {
				answers[i], errs[i] = whole(t.Context(), c, p)
			}
		})
	}
	wait.Wait()
	texts := map[string]bool{}
	for i, a := range answers {
		if texts[a.text] = true; errs[i] != nil || a != answers[i%5] {
			t.Errorf("call %d: %+v, %v", i, a, errs[i])
		}
	}
	if len(texts) != 5 {
		t.Errorf("%d texts of 5 seeds", len(texts))
	}
}

// TestZQueenKilled comes last: the first queen is gone behind it.
func TestZQueenKilled(t *testing.T) {
	transport := &Queens{}
	for _, q := range queens {
		u, err := url.Parse(q)
		if err != nil {
			t.Fatal(err)
		}
		transport.URLs = append(transport.URLs, u)
	}
	many := connect(option.WithHTTPClient(&http.Client{Transport: transport}), option.WithMaxRetries(8))
	before := len(jobs(t, ""))
	type result struct {
		answer
		error
	}
	got := make(chan result, 1)
	go func() {
		a, err := whole(t.Context(), many, ask(70, 150), option.WithHeader("Idempotency-Key", fmt.Sprint(time.Now().UnixNano())))
		got <- result{a, err}
	}()
	until(t, "a running job", func() bool { return len(jobs(t, "running")) == 1 })
	pid, err := strconv.Atoi(strings.Split(os.Getenv("RBEE_PIDS"), ",")[0])
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := <-got
	again, err := stream(t.Context(), many, ask(70, 150), nil)
	if r.error != nil || err != nil || r.answer != again || again.usage != 150 {
		t.Errorf("%+v\nanother: %+v, %v", r, again, err)
	}
	if made := len(jobs(t, "")) - before; made != 2 {
		t.Errorf("%d jobs of two calls", made)
	}
}
