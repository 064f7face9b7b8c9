package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"decouple.dev/decouple/catalog"
)

// TestVectorsAndWords asks endpoints for what they do not give: each is refused before it is asked, and nothing breaks.
func TestVectorsAndWords(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"v","usage":{"prompt_tokens":1,"total_tokens":1}}`))
	vectors, text := at("vectors", up.URL), at("words", up.URL)
	vectors.Format, text.Format = "openai.embeddings", "anthropic.messages"
	builtin := catalog.Endpoint{ID: "builtin", Provider: "builtin", Account: "builtin", Model: "builtin", Name: "builtin"}
	g := open(t, nil, vectors, text, builtin)
	for _, x := range []struct {
		path, model string
		want        int
	}{
		{"/v1/embeddings", "vectors", 200}, {"/v1/embeddings", "words", 404}, {"/v1/embeddings", "builtin", 404}, {"/v1/chat/completions", "vectors", 404},
	} {
		resp := post(t, g, x.path, `{"model":"`+x.model+`","input":"hello","messages":[{"role":"user","content":"hello"}]}`)
		if resp.StatusCode != x.want {
			t.Errorf("%s of %s: %d", x.path, x.model, resp.StatusCode)
		}
	}
	if n := len(up.requests()); n != 1 || up.paths[0] != "/v1/embeddings" {
		t.Errorf("%d requests at %v", n, up.paths)
	}
}

// TestPathNamesTheModel has the path and the body name different models, as a key might that may ask for one of them only: the endpoint is asked for that of the path.
func TestPathNamesTheModel(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/openai/deployments/smart/chat/completions?api-version=2024-10-21", "/openai/deployments/smart/embeddings"} {
		for _, body := range []string{`{"model":"dearer","messages":[],"input":""}`, `{"messages":[],"input":""}`, `{ }`, `{"stream":true,"messages":[]}`} {
			if strings.Contains(path, "embeddings") && strings.Contains(body, "stream") {
				continue
			}
			up := serve(t, good())
			_ = text(t, post(t, open(t, nil, at("one", up.URL)), path, body))
			var got struct{ Model string }
			if err := json.Unmarshal([]byte(up.requests()[0]), &got); err != nil || got.Model != "m-at-one" || strings.Contains(up.requests()[0], "dearer") {
				t.Errorf("%s with %s asked for %s: %v", path, body, up.requests()[0], err)
			}
		}
	}
}
