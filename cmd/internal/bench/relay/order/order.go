// Package order is what the relay's rows tell their load generator.
package order

// Kinds of load.
const (
	Stream = "stream" // each request once; what is counted is chunks
	Submit = "submit" // each request again and again; what is counted is 202s
)

// Order is one run of the generator.
type Order struct {
	Kind     string    `json:"kind"`
	Requests []Request `json:"requests"` // a connection each
}

// Request is one HTTP request as it goes over the wire.
type Request struct {
	Addr string `json:"addr"`
	Text string `json:"text"`
}
