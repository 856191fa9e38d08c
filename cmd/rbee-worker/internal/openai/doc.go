// Package openai is the part of the OpenAI API that the built-in engine speaks: requests in,
// answers, chunks and errors out.
//
// Decoding is pure and total: every body gives a Request whose fields are all within their
// limits, or an *Error that names the field and says what to do. A field of the API that the
// engine cannot do is refused by name, never ignored; a field it does not know is accepted.
// Nothing here has state.
//
// To support another field: read it in decode.go, put it into Request, and take its name out
// of unsupported (refuse.go).
package openai
