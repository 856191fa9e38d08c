package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"mime"
	"strings"
	"time"

	"queen-rbee/hives"
)

// DefaultMaxAnswer bounds an answer that is not streamed, in bytes.
const DefaultMaxAnswer = 64 << 20

// Answer is what an engine answers to a request that is not streamed: embeddings, a ranking, a
// transcript, speech, images. Body is as it came, text or not.
type Answer struct {
	ContentType string
	Body        []byte
}

// Whole posts body to baseURL+path and reads the answer to its end, on a connection of its own
// that is closed on return: most engines let go of a request when its socket closes. The first
// byte may take FirstToken, and each further one InterToken.
//
// Errors are those of Stream, and output_too_large for an answer over MaxAnswer. An answer that
// says to be JSON and is none is an engine_error: it was cut off.
func Whole(ctx context.Context, baseURL, path string, body []byte, o StreamOptions) (Answer, Result, error) {
	began := time.Now()
	clock, ctx := newClock(ctx, limit(o.FirstToken, DefaultFirstToken), limit(o.InterToken, DefaultInterToken))
	defer clock.end()
	req, err := newPost(ctx, baseURL+path, body, cmp.Or(o.ContentType, "application/json"), o.Key)
	if err != nil {
		return Answer{}, Result{}, err
	}
	resp, src, err := ask(ctx, req, o)
	if err != nil {
		return Answer{}, Result{}, err
	}
	defer resp.Body.Close()
	res := Result{FirstToken: max(time.Since(began), 1)}
	most := cmp.Or(o.MaxAnswer, DefaultMaxAnswer)
	data, err := readAnswer(src, clock, most, resp.ContentLength)
	switch {
	case ctx.Err() != nil:
		return Answer{}, res, context.Cause(ctx)
	case hives.CodeOf(err) != "":
		return Answer{}, res, err
	case err != nil:
		return Answer{}, res, broken(ctx, err, "in the middle of its answer")
	}
	a := Answer{ContentType: cmp.Or(resp.Header.Get("Content-Type"), "application/octet-stream"), Body: data}
	if isJSON(a.ContentType) {
		res.Usage, err = usageOf(data)
	}
	return a, res, err
}

// readAnswer reads to the end, at most so many bytes; announced is the length the engine has
// told, below 0 for none. The clock runs anew with each read.
func readAnswer(src io.Reader, c *clock, most, announced int64) ([]byte, error) {
	if announced > most {
		return nil, errTooLarge(most)
	}
	var out bytes.Buffer
	if announced > 0 {
		out.Grow(int(announced) + bytes.MinRead)
	}
	piece := make([]byte, 32<<10)
	for {
		c.resume(true)
		n, err := src.Read(piece)
		if int64(out.Len()+n) > most {
			return nil, errTooLarge(most)
		}
		out.Write(piece[:n])
		switch {
		case err == io.EOF:
			return out.Bytes(), nil
		case err != nil:
			return nil, err
		}
	}
}

func errTooLarge(most int64) error {
	return hives.Errorf(hives.CodeOutputTooLarge, "the engine's answer is over %d bytes: ask for less in one request, "+
		"such as fewer inputs, or for a shorter encoding", most)
}

func isJSON(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// usageOf reads the usage of a whole answer, in the words of chat and embeddings or in those of
// audio and images. Answers without one have none.
func usageOf(data []byte) (hives.Usage, error) {
	var w struct {
		Usage *struct {
			wireUsage
			Input  int64 `json:"input_tokens"`
			Output int64 `json:"output_tokens"`
		} `json:"usage"`
	}
	if !json.Valid(data) {
		return hives.Usage{}, hives.Errorf(hives.CodeEngineError, "the engine answered with JSON that does not parse, or was cut off after %d bytes", len(data))
	}
	if json.Unmarshal(data, &w) != nil || w.Usage == nil {
		return hives.Usage{}, nil // an answer in another shape is the client's to read
	}
	u := hives.Usage{
		PromptTokens:     max(0, cmp.Or(w.Usage.PromptTokens, w.Usage.Input)),
		CompletionTokens: max(0, cmp.Or(w.Usage.CompletionTokens, w.Usage.Output)),
	}
	u.TotalTokens = max(w.Usage.TotalTokens, u.PromptTokens+u.CompletionTokens)
	return u, nil
}
