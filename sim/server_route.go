package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"decouple.dev/decouple/gateway/dialect"
)

// operation is what a request wants.
type operation int

// The operations.
const (
	unknown operation = iota
	converse
	countTokens
	embed
	listModels
)

// wanted is what the path of a request says.
type wanted struct {
	op     operation
	format dialect.Format
	model  string // empty: the body names it
	region string
	stream bool
	global bool
	lacks  string // a header or a parameter without which the vendor does not answer
}

// route reads a request's path as the vendor of a cloud does. A path may begin with /regions/NAME.
func (f *front) route(r *http.Request) wanted {
	path := r.URL.EscapedPath()
	region := ""
	if rest, ok := strings.CutPrefix(path, "/regions/"); ok {
		region, path, _ = strings.Cut(rest, "/")
		region, path = unescape(region), "/"+path
	}
	var w wanted
	switch f.cloud.Vendor {
	case Azure:
		w = azureRoute(path, r.URL.Query())
	case Anthropic:
		w = anthropicRoute(path, r.Header)
	case Bedrock:
		w = bedrockRoute(path)
		w.region = signedRegion(r.Header.Get("Authorization"))
	case Gemini, Vertex:
		w = geminiRoute(path, r.URL.Query())
	default:
		w = openaiRoute(path)
	}
	if region != "" {
		w.region = region
	}
	get := w.op == listModels
	if get != (r.Method == http.MethodGet) || !get && r.Method != http.MethodPost {
		w.op = unknown
	}
	return w
}

func unescape(s string) string {
	if v, err := url.PathUnescape(s); err == nil {
		return v
	}
	return s
}

// openaiPaths are the interfaces of OpenAI's manner, below its version.
func openaiPaths(path string) wanted {
	switch path {
	case "/chat/completions":
		return wanted{op: converse, format: dialect.Chat}
	case "/responses":
		return wanted{op: converse, format: dialect.Responses}
	case "/embeddings":
		return wanted{op: embed}
	case "/models":
		return wanted{op: listModels}
	}
	return wanted{}
}

func openaiRoute(path string) wanted {
	path = strings.TrimPrefix(path, "/openai")
	rest, ok := strings.CutPrefix(path, "/v1")
	if !ok {
		return wanted{}
	}
	return openaiPaths(rest)
}

func azureRoute(path string, query url.Values) wanted {
	if rest, ok := strings.CutPrefix(path, "/openai/v1"); ok {
		return openaiPaths(rest)
	}
	rest, ok := strings.CutPrefix(path, "/openai")
	if !ok {
		return wanted{}
	}
	var w wanted
	if rest, ok := strings.CutPrefix(rest, "/deployments/"); ok {
		name, verb, _ := strings.Cut(rest, "/")
		if w = openaiPaths("/" + verb); w.op == listModels || w.format == dialect.Responses {
			return wanted{}
		}
		w.model = unescape(name)
	} else if w = openaiPaths(rest); w.format == dialect.Chat || w.op == embed {
		return wanted{}
	}
	if query.Get("api-version") == "" {
		return wanted{}
	}
	return w
}

func anthropicRoute(path string, h http.Header) wanted {
	var w wanted
	switch path {
	case "/v1/messages":
		w = wanted{op: converse, format: dialect.Messages}
	case "/v1/messages/count_tokens":
		w = wanted{op: countTokens, format: dialect.Messages}
	case "/v1/models":
		w = wanted{op: listModels}
	}
	if h.Get("anthropic-version") == "" {
		w.lacks = "anthropic-version: header is required"
	}
	return w
}

// profiles are what Bedrock puts before a model's name where it is called across regions.
var profiles = []string{"us.", "eu.", "apac.", "au.", "jp.", "us-gov.", "global."}

func bedrockRoute(path string) wanted {
	rest, ok := strings.CutPrefix(path, "/model/")
	cut := strings.LastIndexByte(rest, '/')
	if !ok || cut < 0 {
		return wanted{}
	}
	w := wanted{op: converse, format: dialect.Converse, model: unescape(rest[:cut])}
	switch rest[cut:] {
	case "/converse":
	case "/converse-stream":
		w.stream = true
	default:
		return wanted{}
	}
	w.model = w.model[strings.LastIndexByte(w.model, '/')+1:] // of an ARN
	for _, p := range profiles {
		if name, ok := strings.CutPrefix(w.model, p); ok {
			w.model, w.global = name, p == "global."
			break
		}
	}
	return w
}

// signedRegion is the region that a signature is for.
func signedRegion(authorization string) string {
	_, scope, ok := strings.Cut(authorization, "Credential=")
	if parts := strings.Split(scope, "/"); ok && len(parts) >= 5 {
		return parts[2]
	}
	return ""
}

func geminiRoute(path string, query url.Values) wanted {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(segments) < 2 || segments[0] != "v1" && segments[0] != "v1beta" && segments[0] != "v1beta1" {
		return wanted{}
	}
	w := wanted{format: dialect.Generate}
	for i, s := range segments[:len(segments)-1] {
		if s == "locations" {
			w.region = unescape(segments[i+1])
		}
	}
	last := segments[len(segments)-1]
	if last == "models" {
		w.op = listModels
		return w
	}
	if segments[len(segments)-2] != "models" {
		return wanted{}
	}
	name, verb, _ := strings.Cut(unescape(last), ":")
	w.model = name
	switch verb {
	case "generateContent":
		w.op = converse
	case "streamGenerateContent":
		w.op, w.stream = converse, true
		if query.Get("alt") != "sse" {
			w.lacks = "simulated clouds stream with alt=sse only"
		}
	case "countTokens":
		w.op = countTokens
	}
	return w
}

// credential is what a request shows of who pays, in the vendor's form; false is that it shows nothing, or something of another form.
func (f *front) credential(r *http.Request) (string, bool) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer == r.Header.Get("Authorization") {
		bearer = ""
	}
	key := ""
	switch f.cloud.Vendor {
	case Azure:
		key = r.Header.Get("Api-Key")
	case Anthropic:
		key = r.Header.Get("X-Api-Key")
	case Gemini, Vertex:
		if key = r.Header.Get("X-Goog-Api-Key"); key == "" {
			key = r.URL.Query().Get("key")
		}
	case Bedrock:
		key = signer(r.Header.Get("Authorization"))
	}
	if key == "" {
		key = bearer
	}
	switch {
	case len(f.keys) > 0:
		return key, f.keys[fingerprint(key)]
	case f.cloud.Vendor == Compatible: // a server of one's own asks nobody
		return key, true
	}
	return key, key != ""
}

// signer is the id of the key that a request is signed with (AWS Signature Version 4). The signature itself is not checked, only that it is there.
func signer(authorization string) string {
	rest, ok := strings.CutPrefix(authorization, "AWS4-HMAC-SHA256 ")
	if !ok || !strings.Contains(rest, "SignedHeaders=") || !strings.Contains(rest, "Signature=") {
		return ""
	}
	_, scope, _ := strings.Cut(rest, "Credential=")
	parts := strings.Split(scope, "/")
	if len(parts) < 5 || !strings.HasPrefix(parts[4], "aws4_request") {
		return ""
	}
	return parts[0]
}

// fingerprint stands for a credential where it must not be shown.
func fingerprint(credential string) string {
	if credential == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(credential))
	return hex.EncodeToString(sum[:6])
}
