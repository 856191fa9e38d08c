// rbee-worker is the built-in engine: a small language model behind the HTTP API that every
// engine of a hive speaks. It needs no download and no GPU, gives the same text for the same
// seed, and can be slow, ill or dying on demand, so that everything around it can be tested
// with a real process.
//
// Worker (worker.go) is the whole program as a value; main only gives it arguments and a
// context. The model is in markov, slots and faults in internal/engine, the API's shapes in
// internal/openai, the routes in internal/serve.
//
// To add a flag: options.go alone (field, line in flags, check in Validate).
package main
