package sim

import (
	"bytes"
	"net/http"

	"decouple.dev/decouple/gateway/dialect"
)

// breakOff resets the connection. HTTP/2 has no connection of one request alone: there the stream is reset.
func (x *exchange) breakOff() {
	if x.r.ProtoMajor == 1 {
		if c, _, err := http.NewResponseController(x.w).Hijack(); err == nil {
			reset(c)
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// midway is what the vendor says when something fails after it has said 200.
func (x *exchange) midway() *dialect.Fault {
	switch x.front.cloud.Vendor {
	case Anthropic:
		return &dialect.Fault{Status: 529, Type: "overloaded_error", Message: "Overloaded"}
	case Bedrock:
		return &dialect.Fault{Status: 500, Type: "InternalServerException", Message: "The system encountered an unexpected error during processing. Try your request again."}
	case Gemini, Vertex:
		return &dialect.Fault{Status: 503, Type: "UNAVAILABLE", Message: "The model is overloaded. Please try again later."}
	}
	return &dialect.Fault{Status: 500, Type: "server_error", Message: "The server had an error while processing your request. Sorry about that!"}
}

// filters is what Azure says of its content filters when they let something pass.
const filters = `{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}`

// dress adds to an answer what only the vendor's own servers add.
func (x *exchange) dress(body []byte) []byte {
	if x.front.cloud.Vendor != Azure || x.want.format != dialect.Chat || !bytes.HasPrefix(body, []byte("{")) {
		return body
	}
	return append([]byte(`{"prompt_filter_results":[{"prompt_index":0,"content_filter_results":`+filters+`}],`), body[1:]...)
}

// streamBegins is what the vendor sends before the stream proper: Azure's first chunk has no choice in it.
func (x *exchange) streamBegins(dst []byte) []byte {
	if x.front.cloud.Vendor != Azure || x.want.format != dialect.Chat {
		return dst
	}
	return append(dst, `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":`+filters+`}]}`+"\n\n"...)
}
