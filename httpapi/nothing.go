package httpapi

import (
	"slices"
	"strings"

	"queen-rbee/fsm"
)

// openAIPlaces are the first words of the OpenAI API's paths.
var openAIPlaces = []string{"chat", "completions", "models", "embeddings", "responses", "rerank", "audio", "images"}

// speaksOpenAI tells that errors at a path have the shape of the OpenAI API: under /v1, and
// where a client asks whose base URL lacks it.
func speaksOpenAI(path string) bool {
	return path == "/v1" || strings.HasPrefix(path, "/v1/") || lacksV1(path)
}

func lacksV1(path string) bool {
	place, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return slices.Contains(openAIPlaces, place)
}

// nothingAt answers for a path that is none of the API's.
func nothingAt(method, path string) error {
	hint := "paths are as docs/api.md writes them, without // and .."
	switch {
	case lacksV1(path):
		hint = "the OpenAI API is under /v1: let the client's base URL end in /v1"
	case strings.HasPrefix(path, "/v1/v1/"):
		hint = "/v1 stands there twice: let the client's base URL end in /v1 once"
	}
	return fsm.Errorf(fsm.CodeNotFound, "there is nothing at %.20s %.200q; %s", method, path, hint)
}
