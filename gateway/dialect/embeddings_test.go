package dialect_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

func TestEmbedding(t *testing.T) {
	t.Parallel()
	for input, count := range map[string]int{`"one"`: 1, `["one","two"]`: 2, `[1,2,3]`: 1, `[[1],[2]]`: 2, `[]`: 0, `{}`: 0, `[1,"x"]`: 0, `null`: 0} {
		body := []byte(`{"model":"embed","input":` + input + `,"encoding_format":"base64","dimensions":256,"user":"u"}`)
		e, err := dialect.ParseEmbedding(dialect.Inbound{Body: body})
		if count == 0 {
			if decouple.KindOf(err) != decouple.Invalid {
				t.Errorf("%s: %v", input, err)
			}
			continue
		}
		if err != nil || e.Count != count || e.Dimensions != 256 || e.Encoding != "base64" {
			t.Errorf("%s: %+v, %v", input, e, err)
		}
		data, err := dialect.EncodeEmbedding(e, dialect.Options{Model: "other"})
		if d := cmp.Diff(`{"model":"other","input":`+input+`,"dimensions":256,"encoding_format":"base64","user":"u"}`, string(data)); d != "" || err != nil {
			t.Error(d, err)
		}
		s, err := dialect.SketchOf(dialect.Embeddings, dialect.Inbound{Body: body})
		if err != nil || s.Model != "embed" || s.User != "u" || s.TokensIn < 10 {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if _, err := dialect.ParseEmbedding(dialect.Inbound{Body: []byte(`{"model":"m","input":"x","made_up":1}`)}); decouple.KindOf(err) != decouple.Invalid {
		t.Error(err)
	}
}

func TestEmbeddingUsage(t *testing.T) {
	t.Parallel()
	u, finish, model, err := dialect.UsageOf(dialect.Embeddings, []byte(`{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAA"}],"model":"embed-1","usage":{"prompt_tokens":8,"total_tokens":8}}`))
	if err != nil || u != (decouple.Usage{TokensIn: 8}) || finish != decouple.FinishStop || model != "embed-1" {
		t.Errorf("%+v %s %s %v", u, finish, model, err)
	}
	var f *dialect.Fault
	if _, _, _, err := dialect.UsageOf(dialect.Embeddings, []byte(`{"error":{"message":"no"}}`)); !errors.As(err, &f) {
		t.Error(err)
	}
	if _, _, _, err := dialect.UsageOf(dialect.Embeddings, []byte(`{"data":[]}`)); decouple.KindOf(err) != decouple.Unavailable {
		t.Error(err)
	}
}
