package sim

import (
	"bytes"
	"fmt"
	"net/http"

	"decouple.dev/decouple"
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

// unread is the usage of a message that has only begun, as the writer of the format has it.
const unread = `"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}`

// begun puts into the first event of a stream what the vendor tells there already: Anthropic's says what was read.
func (x *exchange) begun(event []byte, u decouple.Usage) []byte {
	if x.want.format != dialect.Messages {
		return event
	}
	write := u.CacheWrite + u.CacheLong
	told := fmt.Sprintf(`"usage":{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d},"output_tokens":1}`,
		u.TokensIn-u.Cached-write, write, u.Cached, u.CacheWrite, u.CacheLong)
	return bytes.Replace(event, []byte(unread), []byte(told), 1)
}

// streamBegins is what the vendor sends before the stream proper: Azure's first chunk has no choice in it.
func (x *exchange) streamBegins(dst []byte) []byte {
	if x.front.cloud.Vendor != Azure || x.want.format != dialect.Chat {
		return dst
	}
	return append(dst, `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":`+filters+`}]}`+"\n\n"...)
}
