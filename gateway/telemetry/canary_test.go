package telemetry_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"decouple.dev/decouple/gateway"
)

// clumsy panics over calls of one alias, in the goroutine that has the caller's key.
type clumsy struct{ told both }

// Called panics, or tells the others.
func (c clumsy) Called(f *gateway.Facts) {
	c.told.Called(f)
	if f.Asked == "only-cut" {
		panic("a watcher fell over " + f.ID)
	}
}

// TestCanary lets keys through successes, failures and a panic, and looks for them, and for what was said, in everything that comes out.
func TestCanary(t *testing.T) {
	t.Parallel()
	const caller, wrong, secretText = "dck_caller-canary-0123456789", "dck_wrong-canary-9876543210", "what-was-said-canary"
	c := collect(t)
	s := trade(t, sell(t), everywhere(c, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20collector-canary-55555"), func(cfg *gateway.Config) {
		cfg.Keys = doorman{caller}
		cfg.Watch = clumsy{cfg.Watch.(both)}
	})
	body := func(model string) string { return strings.Replace(chat(model), "hello", secretText, 1) }
	var told strings.Builder
	as := func(key, path, body string, headers ...string) {
		code, answer := s.ask(t, path, body, append([]string{"Authorization: Bearer " + key}, headers...)...)
		told.WriteString(http.StatusText(code) + answer + "\n")
	}
	for _, alias := range []string{"only-good", "failing", "only-broken", "only-locked", "only-cut", "nothing"} {
		as(caller, "/v1/chat/completions", body(alias))
		as(caller, "/v1/messages", strings.Replace(body(alias), "{", `{"stream":true,"max_tokens":9,`, 1), "X-Api-Key: "+caller)
	}
	as(caller, "/v1/embeddings", `{"model":"only-locked","input":"`+secretText+`"}`)
	as(wrong, "/v1/chat/completions", body("only-good"))
	as("", "/v1beta/models/only-locked:generateContent?key="+caller, `{"contents":[{"parts":[{"text":"`+secretText+`"}]}]}`, "Authorization: ")
	as("", "/v1beta/models/x:y?key="+wrong, `{`, "Authorization: ")
	as(caller, "/v1/chat/completions", `{"model":"`+wrong)
	s.front.Close() // every handler has ended, and the log is whole
	records, err := json.Marshal(s.Recent("local", 100))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.exporter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics, _ := scrape(t, s.counts)
	places := map[string]string{"the log": s.log.String(), "the metrics": metrics, "what was exported": c.raw.String(), "the decisions": string(records), "what callers were told": told.String()}
	for what, has := range map[string]string{"the log": "a watcher fell over", "the metrics": `endpoint="locked"`, "what was exported": "only-locked", "the decisions": "only-broken", "what callers were told": "broken"} {
		if !strings.Contains(places[what], has) {
			t.Errorf("%s: nothing was looked at: %s", what, places[what])
		}
	}
	for what, text := range places {
		for _, canary := range []string{caller, wrong, providerKey, "collector-canary-55555", secretText} {
			for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), url.QueryEscape(canary)} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s: %q is there: ...%s", what, form, text[max(0, at-200):min(len(text), at+80)])
				}
			}
		}
	}
}
