// Package conformance answers "do clients and servers by other authors get on with the gateway?". It holds tests only.
//
// The program itself is built and started. Its callers are the vendors' own SDKs, for Go and for Node, given nothing but a base URL and a key; the servers that it asks are those of
// @copilotkit/aimock, which speaks the wire formats of OpenAI, Anthropic, Gemini and Bedrock, fails when it is told to, and keeps a journal of what reached it. So neither side of the
// gateway is judged by this project's own understanding of a format.
//
// TestClients starts the program and the servers once and runs everything below it: `go test ./gateway/conformance -run TestClients/openai`. The Node packages are installed by
// `make check-node`; fixtures.json says what the servers answer.
package conformance
