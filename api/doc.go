// Package api answers "what can a program ask?". Today it is the owner's socket: one process writes a data folder, and other terminals reach it through
// a Unix socket in that folder, to cancel its runs and to add or remove notes.
//
// What is spoken over the socket is HTTP with JSON:
//
//	GET    /v1/owner             who owns the folder: [Owner]
//	POST   /v1/runs/{id}/cancel  an engine.Cancellation; the answer is {"told": n}
//	POST   /v1/decide            an engine.Decision; likewise /v1/resolve (engine.Resolution), /v1/signal (engine.Delivery) and /v1/fork (engine.Fork), which
//	                             answers {"run": id}
//	POST   /v1/notes             [Addition], then the bytes of standard input, if it has any; the answer is a line of [Frame] for each progress, the last with
//	                             the summary or the error
//	DELETE /v1/notes             {"note": "id or path"}; the answer is {"removed": n}
//
// A failed request answers {"error": {"kind": ..., "message": ...}} with the status that the kind has in the one table of the root package.
// Whoever may open the socket, whose mode is 0600, may do all of this: there is no login.
package api
