package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	messagesBody = `{"model":"claude-sonnet-4-6","max_tokens":500,"messages":[{"role":"user","content":"%s"}]%s}`
	converseBody = `{"messages":[{"role":"user","content":[{"text":"%s"}]}],"inferenceConfig":{"maxTokens":500}}`
	sigV4        = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261001/us-west-2/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
	converseAt   = "/model/anthropic.claude-sonnet-4-6/converse"
)

// TestVendors asks each vendor's own interface over a raw connection and compares every byte.
func TestVendors(t *testing.T) {
	t.Parallel()
	anthropic := []string{"x-api-key", "k", "anthropic-version", "2023-06-01"}
	signed := []string{"authorization", sigV4}
	bearer := []string{"authorization", "Bearer k"}
	google := []string{"x-goog-api-key", "k"}
	gemini := `{"contents":[{"role":"user","parts":[{"text":"%s"}]}]}`
	vertex := "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-flash"
	for _, tt := range []struct {
		name    string
		cloud   string
		path    string
		body    string
		headers []string
	}{
		{"anthropic_messages", "anthropic", "/v1/messages", fmt.Sprintf(messagesBody, "hello", ""), anthropic},
		{"anthropic_messages_stream", "anthropic", "/v1/messages", fmt.Sprintf(messagesBody, "the weather", `,"stream":true,"tools":[{"name":"weather","input_schema":{"type":"object"}}]`), anthropic},
		{"anthropic_count", "anthropic", "/v1/messages/count_tokens", `{"model":"claude-sonnet-4-6","messages":[{"role":"user","content":"hello there"}]}`, anthropic},
		{"anthropic_no_version", "anthropic", "/v1/messages", fmt.Sprintf(messagesBody, "hello", ""), anthropic[:2]},
		{"anthropic_no_key", "anthropic", "/v1/messages", fmt.Sprintf(messagesBody, "hello", ""), anthropic[2:]},
		{"anthropic_wrong", "anthropic", "/v1/messages", fmt.Sprintf(messagesBody, "hello", `,"what":1`), anthropic},
		{"bedrock_converse", "aws-claude", converseAt, fmt.Sprintf(converseBody, "hello"), signed},
		{"bedrock_converse_bearer", "aws-claude", "/model/global.anthropic.claude-sonnet-4-6/converse", fmt.Sprintf(converseBody, "hello"), bearer},
		{"bedrock_converse_arn", "aws-claude", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-6-v1%3A0/converse", fmt.Sprintf(converseBody, "hello"), bearer},
		{"bedrock_converse_stream", "aws-claude", converseAt + "-stream", fmt.Sprintf(converseBody, "hello"), signed},
		{"bedrock_not_signed", "aws-claude", converseAt, fmt.Sprintf(converseBody, "hello"), []string{"authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE"}},
		{"bedrock_no_model", "aws-claude", "/model/nothing/converse", fmt.Sprintf(converseBody, "hello"), signed},
		{"bedrock_wrong", "aws-claude", converseAt, `{"messages":[{"role":"wizard","content":[]}]}`, signed},
		{"vertex_generate", "vertex", vertex + ":generateContent", fmt.Sprintf(gemini, "hello"), bearer},
		{"vertex_generate_stream", "vertex", vertex + ":streamGenerateContent?alt=sse", fmt.Sprintf(gemini, "the weather"), bearer},
		{"vertex_count", "vertex", "/v1beta/models/gemini-2.5-flash:countTokens", fmt.Sprintf(gemini, "hello there"), google},
		{"vertex_no_key", "vertex", vertex + ":generateContent", fmt.Sprintf(gemini, "hello"), nil},
		{"openai_responses", "openai", "/v1/responses", `{"model":"gpt-5.4","input":"hello"}`, bearer},
		{"openai_responses_stream", "openai", "/v1/responses", `{"model":"gpt-5.4","input":"hello","stream":true}`, bearer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tenClouds(t, ""))
			got := send(t, "POST", at(t, s, tt.cloud)+tt.path, tt.body, append([]string{"content-type", "application/json"}, tt.headers...)...)
			if got.err != nil {
				t.Fatal(got.err)
			}
			wire(t, tt.name, steady(got.shown()))
		})
	}
}

// TestRegionsOnTheWire sees that a signature, a path of the vendor's or a path of ours says in which region a call is, and that a name for all regions has no region's price.
func TestRegionsOnTheWire(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, ""))
	base := at(t, s, "aws-claude")
	for _, tt := range []struct {
		path, auth, region string
		amount             int64 // of the 2 tokens in and 7 out
	}{
		{converseAt, sigV4, "us-west-2", 2*3300 + 7*16500},
		{converseAt, "Bearer k", "us-east-1", 2*3300 + 7*16500},
		{"/regions/eu-north-1" + converseAt, "Bearer k", "eu-north-1", 2*3300 + 7*16500},
		{strings.Replace(converseAt, "anthropic", "global.anthropic", 1), sigV4, "us-west-2", 2*3000 + 7*15000},
		{strings.Replace(converseAt, "anthropic", "us.anthropic", 1), sigV4, "us-west-2", 2*3300 + 7*16500},
	} {
		if got := send(t, "POST", base+tt.path, fmt.Sprintf(converseBody, "hello"), "authorization", tt.auth); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		all := s.Invoice()
		if l := all[len(all)-1]; l.Region != tt.region || int64(l.Amount) != tt.amount {
			t.Errorf("%s: in %s for %d, not in %s for %d: %+v", tt.path, l.Region, l.Amount, tt.region, tt.amount, l)
		}
	}
}

// TestHTTP2WithoutTLS asks over h2c, which is what the AWS SDK for JavaScript speaks.
func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, "\nfaults:\n  - {cloud: aws-claude, kind: reset, after: 2, nth: 2}\n"))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := http.Client{Transport: &http.Transport{Protocols: protocols}}
	ask := func() (int, error) {
		req, err := http.NewRequest("POST", at(t, s, "aws-claude")+converseAt+"-stream", strings.NewReader(fmt.Sprintf(converseBody, "hello")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", sigV4)
		res, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if res.ProtoMajor != 2 {
			t.Errorf("it is HTTP/%d", res.ProtoMajor)
		}
		if err == nil {
			frames(t, body)
		}
		return res.StatusCode, err
	}
	if status, err := ask(); status != 200 || err != nil {
		t.Errorf("%d %v", status, err)
	}
	if _, err := ask(); err == nil {
		t.Error("a reset is not seen")
	}
	if status, err := ask(); status != 200 || err != nil {
		t.Errorf("after a reset: %d %v", status, err)
	}
}

// frames takes the binary event stream apart by hand: lengths and both sums of every frame must be right.
func frames(t *testing.T, b []byte) {
	t.Helper()
	n := 0
	for ; len(b) > 0; n++ {
		if len(b) < 16 {
			t.Fatalf("frame %d is cut off", n)
		}
		total := binary.BigEndian.Uint32(b)
		if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) || int(total) > len(b) || crc32.ChecksumIEEE(b[:total-4]) != binary.BigEndian.Uint32(b[total-4:]) {
			t.Fatalf("frame %d is damaged", n)
		}
		b = b[total:]
	}
	if n < 5 {
		t.Errorf("the stream has %d frames", n)
	}
}

// TestFaultsOfEveryVendor wants that each way of breaking off reaches the caller in the vendor's own words.
func TestFaultsOfEveryVendor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cloud, path  string
		body, header string
		holds        string
	}{
		{"openai", "/v1/chat/completions", chatBody + `,"stream":true}`, "Bearer k", `data: {"error":{"message":"The server had an error`},
		{"anthropic", "/v1/messages", fmt.Sprintf(messagesBody, "hello", `,"stream":true`), "Bearer k", "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}"},
		{"aws-claude", converseAt + "-stream", fmt.Sprintf(converseBody, "hello"), sigV4, "internalServerException"},
		{"vertex", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`, "Bearer k", `"status":"UNAVAILABLE"`},
	} {
		s := start(t, tenClouds(t, "\nfaults:\n  - {kind: error_in_200, after: 2}\n"))
		got := send(t, "POST", at(t, s, tt.cloud)+tt.path, tt.body, "authorization", tt.header, "anthropic-version", "2023-06-01")
		if got.status != 200 || got.err != nil || !strings.Contains(got.body, tt.holds) || bytes.Contains([]byte(got.body), []byte("jumps")) {
			t.Errorf("%s: %d %v %q", tt.cloud, got.status, got.err, got.body)
		}
	}
}
