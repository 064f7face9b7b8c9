package dialect_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// TestFaultOf reads errors as the vendors write them.
func TestFaultOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  dialect.Format
		status  int
		body    string
		kind    decouple.Kind
		message string
		wait    time.Duration
	}{
		{dialect.Messages, 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}`, decouple.Unavailable, "Overloaded", 0},
		{dialect.Messages, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, decouple.TooLarge, "prompt is too long: 210000 tokens > 200000 maximum", 0},
		{dialect.Messages, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}`, decouple.Denied, "Your credit balance is too low", 0},
		{dialect.Generate, 429, `[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}]`, decouple.RateLimited, "quota", 34500 * time.Millisecond},
		{dialect.Generate, 400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}`, decouple.Unauthenticated, "API key not valid. Please pass a valid API key.", 0},
		{dialect.Generate, 503, `{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`, decouple.Unavailable, "overloaded", 0},
		{dialect.Converse, 429, `{"message":"Too many requests"}`, decouple.RateLimited, "Too many requests", 0},
		{dialect.Converse, 403, `{"Message":"User is not authorized"}`, decouple.Denied, "User is not authorized", 0},
		{dialect.Converse, 424, `{"__type":"com.amazonaws#ModelErrorException:http://x","message":"The model failed"}`, decouple.Unavailable, "The model failed", 0},
		{dialect.Chat, 429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, decouple.Denied, "You exceeded your current quota", 0},
		{dialect.Chat, 400, `{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, decouple.Invalid, "filtered", 0},
		{dialect.Chat, 502, `<html>bad gateway</html>`, decouple.Unavailable, "", 0},
	} {
		f := dialect.FaultOf(c.format, c.status, []byte(c.body))
		if f.Kind() != c.kind || f.Message != c.message || f.Wait != c.wait || f.Status != c.status {
			t.Errorf("%s: %s %+v", c.body, f.Kind(), f)
		}
	}
}

// TestRenderFault writes what the gateway itself refuses in each format's words.
func TestRenderFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format dialect.Format
		kind   decouple.Kind
		want   string
	}{
		{dialect.Chat, decouple.Exhausted, `{"error":{"message":"no","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`},
		{dialect.Responses, decouple.RateLimited, `{"error":{"message":"no","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`},
		{dialect.Embeddings, decouple.Invalid, `{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}`},
		{dialect.Messages, decouple.Exhausted, `{"type":"error","error":{"type":"billing_error","message":"no"}}`},
		{dialect.Messages, decouple.Deadline, `{"type":"error","error":{"type":"timeout_error","message":"no"}}`},
		{dialect.Generate, decouple.Deadline, `{"error":{"code":504,"message":"no","status":"DEADLINE_EXCEEDED"}}`},
		{dialect.Converse, decouple.TooLarge, `{"__type":"ValidationException","message":"no"}`},
	} {
		status, body := dialect.RenderFault(c.format, dialect.FaultFrom(decouple.Errorf(c.kind, "no")))
		if string(body) != c.want || status != c.kind.Rule().HTTP {
			t.Errorf("%s %s: %d %s", c.format, c.kind, status, body)
		}
	}
	_, body := dialect.RenderFault(dialect.Chat, &dialect.Fault{Status: 400, Type: "invalid_request_error", Code: "content_filter", Param: "prompt", Message: "no"})
	if !json.Valid(body) || !strings.Contains(string(body), `"param":"prompt","code":"content_filter"`) {
		t.Errorf("a fault of the format lost its words: %s", body)
	}
}
