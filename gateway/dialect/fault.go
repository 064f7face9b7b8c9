package dialect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Fault is what a server says went wrong. Its texts are the server's own words: whoever shows them takes secrets and control
// characters out first.
type Fault struct {
	Status  int // of HTTP; 0 where the fault came inside a 200 and named none
	Message string
	Type    string
	Code    string
	Param   string // the parameter of the request that is to blame, if the server named one

	Wait time.Duration // how long the server asks to be left alone, where its body says so

	kind decouple.Kind // where it is known: the fault was made of an error
}

// Error is the server's message, or whatever else it gave.
func (f *Fault) Error() string {
	for _, s := range []string{f.Message, f.Code, f.Type} {
		if s != "" {
			return s
		}
	}
	if f.Status != 0 {
		return "HTTP status " + strconv.Itoa(f.Status)
	}
	return "an error without a message"
}

// ParseFault reads the body of an answer whose HTTP status is an error, of whatever format. What is neither JSON nor short plain text leaves Message empty.
func ParseFault(status int, body []byte) *Fault {
	var b struct {
		faultBody
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
		Amazon json.RawMessage `json:"__type"`
	}
	f := &Fault{Status: status}
	body = bytes.TrimSpace(body)
	if len(body) > 1 && body[0] == '[' { // a Gemini stream that is a JSON array
		var list []json.RawMessage
		if json.Unmarshal(body, &list) == nil && len(list) > 0 {
			body = list[0]
		}
	}
	if err := json.Unmarshal(body, &b); err != nil {
		if said := string(body); len(said) <= 300 && !strings.HasPrefix(said, "<") {
			f.Message = said
		}
		return f
	}
	switch inner := parseFault(b.Error); {
	case inner != nil:
		f = inner
		f.Status = status
	case present(b.Detail):
		f.Message = plain(b.Detail)
	default:
		b.fill(f)
		if f.Type == "" {
			f.Type = amazonType(plain(b.Amazon))
		}
	}
	return f
}

// amazonType takes what Amazon puts around the name of an exception away: a name space before it, a URL after it.
func amazonType(said string) string {
	said, _, _ = strings.Cut(said, ":")
	return said[strings.LastIndexByte(said, '#')+1:]
}

// FaultOf reads the body of an answer of a format whose HTTP status is an error.
func FaultOf(f Format, status int, body []byte) *Fault {
	ft := ParseFault(status, body)
	if f == Generate && ft.Type == "" && len(ft.Code) <= 3 { // a number that says no more than the status
		ft.Code = ""
	}
	return ft
}

// parseFault reads the value of the key "error": an object, or a bare text; nil where there is none.
func parseFault(raw json.RawMessage) *Fault {
	if !present(raw) {
		return nil
	}
	f := &Fault{}
	var b faultBody
	if err := json.Unmarshal(raw, &b); err != nil {
		f.Message = plain(raw)
		return f
	}
	b.fill(f)
	if n, err := strconv.Atoi(plain(b.Code)); err == nil && n >= 400 && n <= 599 {
		f.Status = n
	}
	return f
}

// faultBody holds the fields of an error object; servers disagree about their types.
type faultBody struct {
	Message json.RawMessage `json:"message"`
	Type    json.RawMessage `json:"type"`
	Code    json.RawMessage `json:"code"`
	Param   json.RawMessage `json:"param"`
	Status  json.RawMessage `json:"status"`  // Gemini: the type
	Details []faultDetail   `json:"details"` // Gemini
}

type faultDetail struct {
	Reason     string `json:"reason"`
	RetryDelay string `json:"retryDelay"`
}

func (b faultBody) fill(f *Fault) {
	f.Message, f.Type, f.Code, f.Param = plain(b.Message), plain(b.Type), plain(b.Code), plain(b.Param)
	if f.Type == "" {
		f.Type = plain(b.Status)
	}
	for _, d := range b.Details {
		if d.Reason != "" {
			f.Code = d.Reason
		}
		if wait, err := time.ParseDuration(d.RetryDelay); err == nil {
			f.Wait = max(f.Wait, wait)
		}
	}
}

// present says that raw is neither missing nor one of the ways to say "none".
func present(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", `""`, "false":
		return false
	}
	return true
}

// plain is the text of a JSON string, and the JSON itself of anything else.
func plain(raw json.RawMessage) string {
	if !present(raw) {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(bytes.TrimSpace(raw))
}

// Kind says what sort of error the fault is.
func (f *Fault) Kind() decouple.Kind {
	switch {
	case f.kind != "":
		return f.kind
	case f.Status != 401 && f.Status != 403 && f.Status != 429 && f.says(tooLong...):
		return decouple.TooLarge
	case f.says("api_key_invalid", "api key not valid"): // Gemini says so with status 400
		return decouple.Unauthenticated
	case f.Status == 402, f.says("insufficient_quota", "billing_hard_limit", "credit balance"):
		return decouple.Denied
	case f.Status != 0:
		return statusKind(f.Status)
	}
	for _, w := range words {
		if f.says(w.said) {
			return w.kind
		}
	}
	return decouple.Unavailable
}

func statusKind(status int) decouple.Kind {
	switch status {
	case 401:
		return decouple.Unauthenticated
	case 403:
		return decouple.Denied
	case 404:
		return decouple.NotFound
	case 408, 409, 424, 425: // too slow, a lock held, the model failed (Bedrock), too early: the same call later may succeed
		return decouple.Unavailable
	case 413:
		return decouple.TooLarge
	case 429:
		return decouple.RateLimited
	}
	if status < 500 {
		return decouple.Invalid
	}
	return decouple.Unavailable
}

// tooLong are the ways to say that the conversation does not fit the model.
var tooLong = []string{"context_length", "context length", "context window", "context size", "exceed_context_size", "prompt is too long", "request_too_large", "input is too long"}

// words give the kind of a fault that came without a status, in the order in which they are looked for.
var words = []struct {
	said string
	kind decouple.Kind
}{
	{"rate_limit", decouple.RateLimited},
	{"rate limit", decouple.RateLimited},
	{"too many requests", decouple.RateLimited},
	{"throttl", decouple.RateLimited},
	{"resource_exhausted", decouple.RateLimited},
	{"resourceexhausted", decouple.RateLimited},
	{"authentication", decouple.Unauthenticated},
	{"invalid_api_key", decouple.Unauthenticated},
	{"unauthenticated", decouple.Unauthenticated},
	{"unrecognizedclient", decouple.Unauthenticated},
	{"expiredtoken", decouple.Unauthenticated},
	{"accessdenied", decouple.Denied},
	{"permission", decouple.Denied},
	{"not_found", decouple.NotFound},
	{"notfound", decouple.NotFound},
	{"not found", decouple.NotFound},
	{"deadline_exceeded", decouple.Deadline},
	{"invalid_argument", decouple.Invalid},
	{"validationexception", decouple.Invalid},
	{"invalid_prompt", decouple.Invalid},
	{"invalid_request", decouple.Invalid},
	{"badrequest", decouple.Invalid},
	{"bad_request", decouple.Invalid},
}

func (f *Fault) says(phrases ...string) bool {
	all := strings.ToLower(f.Code + "\n" + f.Type + "\n" + f.Message)
	for _, p := range phrases {
		if strings.Contains(all, p) {
			return true
		}
	}
	return false
}

// Refuses says that the server does not know a parameter of the request, or will not take it from this model.
func (f *Fault) Refuses(param string) bool {
	if f.Status != 400 && f.Status != 422 {
		return false
	}
	named := f.Param == param || strings.HasPrefix(f.Param, param+".") || strings.Contains(f.Message, param)
	return named && f.says("unsupported", "not supported", "unrecognized", "unknown", "not permitted", "not allowed", "unexpected", "extra")
}
