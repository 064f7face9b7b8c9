// Package api answers "what can a program ask?": it serves the HTTP interface under /api/v1, and is its client.
//
// route.go is the table of routes, from which the handlers, the OpenAPI document and the tests of rights are made; handlers.go does what they say; message.go has what goes
// over the wire. [Server] is served in two places: at a TCP address, where a bearer key says who calls, and on the socket of a data folder (socket.go), whose mode is 0600 and
// where whoever may open it is the owner. [Hub] tells watchers what happens.
//
// [Client] asks a server. It has the methods of a journal.Reader, of an engine and of notes, so that commands work the same way here and there.
//
// A failed request answers {"error": {"kind": ..., "message": ...}} with the status that the kind has in the one table of the root package.
package api
