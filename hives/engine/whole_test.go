package engine

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/hives"
)

// A recorded answer arrives byte for byte however its reads were cut, with its type and usage.
func TestRecordedAnswer(t *testing.T) {
	rec := load(t, "embeddings")
	want := rec.sse(t)
	for _, size := range []int{1 << 20, 7, 1} {
		a, res, err := Whole(context.Background(), replay(t, rec, size), rec.path, rec.body, StreamOptions{})
		if err != nil || !bytes.Equal(a.Body, want) || a.ContentType != "application/json; charset=utf-8" {
			t.Fatalf("pieces of %d: %v, %s, %d bytes of %d", size, err, a.ContentType, len(a.Body), len(want))
		}
		if res.Usage != (hives.Usage{PromptTokens: 12, TotalTokens: 12}) || res.FirstToken == 0 {
			t.Errorf("%+v", res)
		}
	}
}

func TestAnswers(t *testing.T) {
	whole := func(status, header, body string) func(net.Conn, *http.Request, []byte) {
		return func(c net.Conn, _ *http.Request, _ []byte) {
			fmt.Fprintf(c, "HTTP/1.1 %s\r\nConnection: close\r\n%s\r\n%s", status, header, body)
		}
	}
	sized := func(kind, body string) string {
		return fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", kind, len(body))
	}
	const speech = "\x00\xffID3\r\n\r\ndata: nothing\n\n"
	for name, c := range map[string]struct {
		answer func(net.Conn, *http.Request, []byte)
		code   string
		says   string
		body   string
		usage  hives.Usage
	}{
		"bytes that are no text":       {answer: whole("200 OK", sized("audio/mpeg", speech), speech), body: speech},
		"a type that is not said":      {answer: whole("200 OK", "", "x"), body: "x"},
		"the usage of audio":           {answer: whole("200 OK", sized("application/json", audio), audio), body: audio, usage: hives.Usage{PromptTokens: 14, CompletionTokens: 5, TotalTokens: 19}},
		"a list":                       {answer: whole("200 OK", sized("application/json", "[1]"), "[1]"), body: "[1]"},
		"an end without its last byte": {answer: whole("200 OK", "Content-Length: 9\r\n", "12345678"), code: hives.CodeWorkerDied},
		"JSON cut off where nobody sees it": {answer: whole("200 OK", "Content-Type: application/json\r\n", `{"data":[`),
			code: hives.CodeEngineError, says: "cut off after 9 bytes"},
		"more than is taken, said before": {answer: whole("200 OK", "Content-Length: 4097\r\n", ""), code: hives.CodeOutputTooLarge, says: "over 4096 bytes"},
		"more than is taken, not said":    {answer: whole("200 OK", "", strings.Repeat("x", 4097)), code: hives.CodeOutputTooLarge, says: "over 4096 bytes"},
		"what it was not started for":     {answer: whole("501 Not Implemented", "", noEmbeddings), code: hives.CodeInvalid, says: "does not support embeddings"},
		"what it has no route for":        {answer: whole("404 Not Found", "", notFound), code: hives.CodeInvalid, says: "does not serve this request"},
		"too much input":                  {answer: whole("500 Internal Server Error", "", tooLong), code: hives.CodeInvalid, says: "physical batch size"},
		"loading":                         {answer: whole("503 Service Unavailable", "", "{}"), code: CodeEngineBusy},
		"its own fault":                   {answer: whole("500 Internal Server Error", "", "oh"), code: hives.CodeEngineError},
	} {
		t.Run(name, func(t *testing.T) {
			a, res, err := Whole(context.Background(), server(t, c.answer), "/v1/x", []byte("{}"), StreamOptions{MaxAnswer: 4096})
			if hives.CodeOf(err) != c.code || (err == nil) != (c.code == "") || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Fatalf("%v; want %q that says %q", err, c.code, c.says)
			}
			if err == nil && (string(a.Body) != c.body || res.Usage != c.usage) {
				t.Errorf("%q, %+v", a.Body, res)
			}
		})
	}
}

const (
	audio        = `{"text":"bees","usage":{"type":"tokens","input_tokens":14,"output_tokens":5,"total_tokens":19}}`
	noEmbeddings = `{"error":{"code":501,"message":"This server does not support embeddings. Start it with ` + "`--embeddings`" + `","type":"not_supported_error"}}`
	notFound     = `{"error":{"message":"File Not Found","type":"not_found_error","code":404}}`
	tooLong      = `{"error":{"code":500,"message":"input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)","type":"server_error"}}`
)

// The body goes out as it came, under its own type.
func TestWholeSendsTheBodyAsItIs(t *testing.T) {
	const form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b--\r\n"
	asked := make(chan string, 1)
	url := server(t, func(c net.Conn, r *http.Request, body []byte) {
		asked <- r.Header.Get("Content-Type") + " " + r.Header.Get("Authorization") + " " + string(body)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	})
	o := StreamOptions{ContentType: "multipart/form-data; boundary=b", Key: "k"}
	if _, _, err := Whole(context.Background(), url, "/v1/audio/transcriptions", []byte(form), o); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != "multipart/form-data; boundary=b Bearer k "+form {
		t.Error(got)
	}
}

// Nobody who waits any more holds the engine: its socket closes with the context.
func TestWholeLetsGoOfTheEngine(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	closed := make(chan struct{})
	url := server(t, func(c net.Conn, _ *http.Request, _ []byte) {
		cancel(hives.Errorf("cancelled", "by the test"))
		_, _ = c.Read(make([]byte, 1)) // until the other side closes
		close(closed)
	})
	if _, _, err := Whole(ctx, url, "/v1/embeddings", []byte("{}"), StreamOptions{}); hives.CodeOf(err) != "cancelled" {
		t.Fatal(err)
	}
	<-closed
}

// The clock of an answer stands still for nobody, and begins anew with each read.
func TestClockOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ctx := newClock(t.Context(), time.Minute, 10*time.Second)
		defer c.end()
		steps := &slowly{gaps: []time.Duration{9 * time.Second, 9 * time.Second, 11 * time.Second}, until: ctx.Done()}
		_, err := readAnswer(steps, c, 1<<20, -1)
		if err == nil || hives.CodeOf(context.Cause(ctx)) != hives.CodeEngineTimeout || steps.at != 2 {
			t.Fatalf("%v after %d reads, cause %v", err, steps.at, context.Cause(ctx))
		}
	})
}

// slowly gives a byte after each gap, or fails once until is over.
type slowly struct {
	gaps  []time.Duration
	until <-chan struct{}
	at    int
}

func (s *slowly) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.gaps[s.at]):
		s.at++
		p[0] = 'x'
		return 1, nil
	case <-s.until:
		return 0, net.ErrClosed
	}
}
