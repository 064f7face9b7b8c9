package api_test

import (
	"net/http"
	"strings"
	"testing"

	"decouple.dev/decouple/api"
	"decouple.dev/decouple/registry"
)

// TestIdempotencyKeys uses one key on every route that starts work, and with another body: the same request has the same answer, any other one is a conflict.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.key("", "ada", registry.RoleOperator)
	begun := read[api.Begun](s, ada, "POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"Is it late?"}}`)
	s.until(ada, begun.Run, over)
	talk := read[api.Begun](s, ada, "POST", "/api/v1/sessions", `{"agent":"talker"}`)
	all := [][3]string{ // path, body, another body
		{"/api/v1/runs", `{"agent":"talker","task":{"question":"Is it late?"},"limits":{"time":"5m"}}`, `{"agent":"talker","task":{"question":"Is it late?"},"limits":{"time":"6m"}}`},
		{"/api/v1/runs/" + string(begun.Run) + "/fork", `{"step":1}`, `{"step":1,"effects":true}`},
		{"/api/v1/sessions", `{"agent":"talker","label":"a"}`, `{"agent":"talker","label":"b"}`},
		{"/api/v1/sessions/" + string(talk.Run) + "/input", `{"text":"hello"}`, `{"text":"hello?"}`},
		{"/api/v1/runs/" + string(talk.Run) + "/signals", `{"name":"go","body":{"a":1,"b":2}}`, `{"name":"go","body":{"a":1,"b":3}}`},
	}
	for i, r := range all {
		key := strings.Repeat("k", i+1)
		code, first := s.ask(ada, "POST", r[0], r[1], "Idempotency-Key", key)
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", r[0], code, first)
		}
		for _, again := range []string{r[1], strings.ReplaceAll(r[1], ",", " ,\n")} {
			if code, text := s.ask(ada, "POST", r[0], again, "Idempotency-Key", key); code != http.StatusOK || text != first {
				t.Errorf("%s again: %d %s, want %s", r[0], code, text, first)
			}
		}
		if code, text := s.ask(ada, "POST", r[0], r[2], "Idempotency-Key", key); code != http.StatusConflict {
			t.Errorf("%s with another body: %d %s", r[0], code, text)
		}
		for k, other := range all {
			if k == i {
				continue
			}
			if code, text := s.ask(ada, "POST", other[0], other[1], "Idempotency-Key", key); code != http.StatusConflict || !strings.Contains(text, "another request") {
				t.Errorf("the key of %s at %s: %d %s", r[0], other[0], code, text)
			}
		}
		if code, _ := s.ask(ada, "POST", r[0], r[1], "Idempotency-Key", strings.Repeat("x", 201)); code != http.StatusBadRequest {
			t.Errorf("%s with a long key: %d", r[0], code)
		}
	}
}
