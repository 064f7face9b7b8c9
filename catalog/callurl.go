package catalog

import (
	"errors"
	"net/url"
	"strings"
)

// CallURL is where a call of ep goes. It follows the endpoint's format: a copy of ep with another format of the same provider gives that one's URL. The endpoint's own URL may end where its
// provider's SDKs want it to (with or without /v1 or /v1beta), and keeps its query, such as the api-version of Azure.
func CallURL(ep Endpoint, stream bool) string {
	base, query, _ := strings.Cut(ep.URL, "?")
	base = strings.TrimRight(base, "/")
	var path string
	switch ep.Format {
	case "bedrock.converse":
		path = "/model/" + escape(ep.Name) + pick(stream, "/converse-stream", "/converse")
	case "gemini.generate":
		path = geminiPath(ep, base) + escape(ep.Name) + pick(stream, ":streamGenerateContent", ":generateContent")
		if stream {
			query = joined(query, "alt=sse")
		}
	case "anthropic.messages":
		path = versioned(base, "/v1") + "/messages"
		if ep.Provider == "vertex" {
			path = "/publishers/anthropic/models/" + escape(ep.Name) + pick(stream, ":streamRawPredict", ":rawPredict")
		}
	default:
		path = openaiPath(ep, base, query)
	}
	if strings.HasSuffix(base, path) {
		path = ""
	}
	if query != "" {
		query = "?" + query
	}
	return base + path + query
}

// CallPath is the part of [CallURL] behind the host: path and query.
func CallPath(ep Endpoint, stream bool) string {
	rest := afterScheme(CallURL(ep, stream))
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// ListURL is where an interface in the manner of OpenAI lists its models.
func ListURL(base string) string {
	base, query, _ := strings.Cut(base, "?")
	base = strings.TrimRight(base, "/")
	if query != "" {
		query = "?" + query
	}
	return base + openaiRoot(base) + "/models" + query
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func joined(query, more string) string {
	if query == "" {
		return more
	}
	return query + "&" + more
}

// openaiPath is the path of OpenAI's interface. Azure has two: the newer one is like OpenAI's, the older one has the deployment in the path and an api-version in the query.
func openaiPath(ep Endpoint, base, query string) string {
	verb := "/chat/completions"
	switch ep.Format {
	case "openai.responses":
		verb = "/responses"
	case "openai.embeddings":
		verb = "/embeddings"
	}
	if strings.HasSuffix(base, verb) {
		return verb
	}
	if ep.Provider != "azure" {
		return openaiRoot(base) + verb
	}
	root := "/openai"
	if strings.HasSuffix(base, "/openai") || strings.HasSuffix(base, "/openai/v1") {
		root = ""
	}
	v, _ := url.ParseQuery(query)
	switch {
	case v.Get("api-version") == "" || v.Get("api-version") == "preview" || strings.HasSuffix(base, "/v1"):
		return root + versioned(base, "/v1") + verb
	case verb == "/responses":
		return root + verb
	}
	return root + "/deployments/" + escape(ep.Name) + verb
}

// endsInVersion says that the last segment of a URL's path is a version, such as v1 or v1beta.
func endsInVersion(base string) bool {
	last := base[strings.LastIndexByte(base, '/')+1:]
	return len(last) > 1 && last[0] == 'v' && last[1] >= '0' && last[1] <= '9' && strings.Contains(afterScheme(base), "/")
}

func afterScheme(base string) string {
	if _, rest, ok := strings.Cut(base, "://"); ok {
		return rest
	}
	return base
}

// versioned is the version's part of a path, unless the base ends in one.
func versioned(base, version string) string { return pick(endsInVersion(base), "", version) }

// openaiRoot is /v1, unless the base has a path already: who gives one means it, as OpenAI's own SDKs have it.
func openaiRoot(base string) string { return pick(strings.Contains(afterScheme(base), "/"), "", "/v1") }

func geminiPath(ep Endpoint, base string) string {
	if ep.Provider == "vertex" {
		return "/publishers/google/models/"
	}
	return versioned(base, "/v1beta") + "/models/"
}

// escape makes a name one segment of a path: what is not unreserved in RFC 3986 is escaped, colons and slashes of Bedrock's names among it, as the AWS SDKs do.
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// checkURL says what is wrong with the URL of an interface, without repeating it: it may hold a secret.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("it must look like https://host/v1 or http://127.0.0.1:8080/v1")
	case u.User != nil:
		return errors.New("it holds a user or a password: take them out, and name the key of the account instead")
	case u.Fragment != "":
		return errors.New("it holds a fragment")
	}
	return nil
}
