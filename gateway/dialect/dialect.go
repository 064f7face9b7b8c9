// Package dialect answers "what do they say on the wire?": it turns a [decouple.Request] into the bytes that a kind of model server
// expects, and the bytes that come back into a [decouple.Answer]. It is pure: no socket, no clock. Today it speaks OpenAI Chat
// Completions, as one JSON answer and as a stream of server-sent events; the names of that dialect begin with Chat.
//
// What a server says went wrong is a [Fault], whether it came with an HTTP status, inside a 200 or in the middle of a stream.
// An answer that makes no sense (not JSON, cut off, empty) is an error of kind Unavailable: another try may bring a whole one.
//
// Servers differ in small ways, and the decoders accept what is unmistakable: content as a list of parts, arguments as an object,
// tool calls without index or id, "stop" where tools are called, error codes as numbers. What they accept is in the testdata folder.
package dialect
