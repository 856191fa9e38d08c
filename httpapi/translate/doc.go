// Package translate carries requests of the OpenAI Responses API and of Anthropic's Messages API
// over into chat/completions, which every engine speaks, and what comes of them back.
//
// It is pure: bytes in, bytes out; no network, no clock, no goroutine. A Request is read once
// (Responses, Messages) and holds the chat body. Its Answer is a state machine over the chunks of
// one run: the same chunks make the same events with the same ids, so it does not matter which
// queen tells them, or through how many attachments they came. The whole answer of a request
// without stream goes through the same machine as one large chunk.
//
// What a request may say:
//   - a field that chat/completions has too goes over, under its name there;
//   - a field of the request's own API that no engine can honour is refused by its name, unless
//     its value asks for nothing (null, false, an empty list, the default);
//   - a field that belongs to neither goes to the engine as it came, as on all of /v1.
//
// Strings of an answer stay JSON text from chunk to event, so nothing in them is changed, and a
// character that an engine has cut in half is whole again where pieces are joined.
//
// Memory: a Responses stream keeps its text, since its last events repeat it, up to maxAnswer; a
// Messages stream keeps nothing.
//
// Concurrency: none. An Answer belongs to one goroutine.
//
// To add a field: read it in responses.go or messages.go, put it into the chat body, and give
// the case to the table of the test beside it.
package translate
