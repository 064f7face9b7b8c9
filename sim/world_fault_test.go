package sim

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
)

func TestFaultsByScheduleAndPlace(t *testing.T) {
	t.Parallel()
	two := func(c *Cloud) { c.Models = append(c.Models, Offer{ID: "n", Name: "n-1"}) }
	for _, tt := range []struct {
		name  string
		fault Fault
		hit   []string // region/model at which it strikes
	}{
		{"everything", Fault{}, []string{"here/m", "here/n-1", "there/m", "there/n-1"}},
		{"one region", Fault{Region: "there"}, []string{"there/m", "there/n-1"}},
		{"one model, by its id", Fault{Model: "n"}, []string{"here/n-1", "there/n-1"}},
		{"one model in one region", Fault{Model: "n-1", Region: "here"}, []string{"here/n-1"}},
		{"this cloud", Fault{Cloud: "one", Model: "m", Region: "here"}, []string{"here/m"}},
	} {
		tt.fault.Kind, tt.fault.Mode, tt.fault.From, tt.fault.To = Outage, "503", time.Minute, time.Hour
		w := made(t, simple(two), tt.fault)
		var hit []string
		for _, region := range []string{"here", "there"} {
			for _, model := range []string{"m", "n-1"} {
				ask := func(at time.Duration) Refusal {
					return w.Ask(Call{Cloud: "one", Region: region, Model: model, In: 1}, after(at)).Refusal
				}
				if ask(time.Minute-1) != Served || ask(time.Hour) != Served {
					t.Errorf("%s: it strikes before or after its time", tt.name)
				}
				if ask(time.Minute) == Unavailable && ask(time.Hour-1) == Unavailable {
					hit = append(hit, region+"/"+model)
				}
			}
		}
		if !slices.Equal(hit, tt.hit) {
			t.Errorf("%s: it strikes %v, not %v", tt.name, hit, tt.hit)
		}
	}
}

func TestFaultsForAShareAndForTheNth(t *testing.T) {
	t.Parallel()
	w := made(t, simple(), Fault{Kind: Outage, Share: 0.25})
	n := 0
	for range 4000 {
		if w.Ask(call(1, 1), epoch).Refusal == Refused {
			n++
		}
	}
	if n < 900 || n > 1100 {
		t.Errorf("%d of 4,000 are hit, not about a quarter", n)
	}
	w = made(t, simple(), Fault{Kind: Outage, Nth: 3})
	var hit []int
	for i := range 10 {
		if w.Ask(call(1, 1), epoch).Refusal == Refused {
			hit = append(hit, i+1)
		}
	}
	if !slices.Equal(hit, []int{3}) {
		t.Errorf("calls %v are hit, not the third", hit)
	}
}

func TestFaultsComeAndGo(t *testing.T) {
	t.Parallel()
	w := made(t, simple())
	add := func(f Fault) string {
		t.Helper()
		f, err := w.AddFault(f)
		if err != nil {
			t.Fatal(err)
		}
		return f.Name
	}
	if got := []string{add(Fault{Kind: Empty}), add(Fault{Kind: Empty, Name: "mine"}), add(Fault{Kind: Empty, Name: "f3"}), add(Fault{Kind: Empty}), add(Fault{Kind: Empty})}; !slices.Equal(got, []string{"f1", "mine", "f3", "f2", "f4"}) {
		t.Errorf("they are called %v", got)
	}
	if _, err := w.AddFault(Fault{Kind: Empty, Name: "mine"}); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a name twice: %v", err)
	}
	if w.ClearFault("mine") != 1 || w.ClearFault("mine") != 0 || w.ClearFault("") != 4 || len(w.Faults()) != 0 {
		t.Error("they do not go")
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault Fault
		want  bool
	}{
		{"refused", Fault{Kind: Outage}, true},
		{"by name", Fault{Kind: Outage, Cloud: "one", Mode: "refused"}, true},
		{"a share", Fault{Kind: Outage, Share: 0.5}, false},
		{"a region", Fault{Kind: Outage, Region: "here"}, false},
		{"with a status", Fault{Kind: Outage, Mode: "500"}, false},
		{"later", Fault{Kind: Outage, From: time.Second}, false},
	} {
		if got := made(t, simple(), tt.fault).Down("one", epoch); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestFaultsThatBend(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		fault Fault
		times []time.Duration // of the tokens
		ends  time.Duration
	}{
		{"none", Fault{Kind: PriceTimes, Factor: 2}, []time.Duration{100 * ms, 110 * ms, 120 * ms, 130 * ms}, 130 * ms},
		{"slow", Fault{Kind: Slow, Factor: 10}, []time.Duration{1000 * ms, 1100 * ms, 1200 * ms, 1300 * ms}, 1300 * ms},
		{"stall before the first", Fault{Kind: StallFirst, For: time.Second}, []time.Duration{1100 * ms, 1110 * ms, 1120 * ms, 1130 * ms}, 1130 * ms},
		{"stall between", Fault{Kind: Stall, After: 2, For: time.Second}, []time.Duration{100 * ms, 110 * ms, 1120 * ms, 1130 * ms}, 1130 * ms},
		{"cut", Fault{Kind: Cut, After: 2}, []time.Duration{100 * ms, 110 * ms}, 110 * ms},
		{"cut after more than there are", Fault{Kind: Cut, After: 9}, []time.Duration{100 * ms, 110 * ms, 120 * ms, 130 * ms}, 130 * ms},
		{"truncated", Fault{Kind: Truncated}, []time.Duration{100 * ms, 110 * ms}, 110 * ms},
		{"empty", Fault{Kind: Empty}, nil, 100 * ms},
		{"an error at once", Fault{Kind: ErrorIn200}, nil, 100 * ms},
	} {
		w := made(t, simple(), tt.fault)
		p := w.Ask(call(1, 4), epoch)
		var got []time.Duration
		for i := range p.Tokens() {
			got = append(got, p.Token(i))
		}
		if diff := cmp.Diff(tt.times, got); diff != "" || p.Ends() != tt.ends {
			t.Errorf("%s: it ends after %v; %s", tt.name, p.Ends(), diff)
		}
	}
}

func TestQuotaTimes(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Limits.Requests = 100 }), Fault{Kind: QuotaTimes, Factor: 0})
	if p := w.Ask(call(1, 1), epoch); p.Refusal != RequestRate || p.RetryAfter != 0 {
		t.Errorf("a quota of nothing: %v, retry after %v", p.Refusal, p.RetryAfter)
	}
}

// TestWords holds every vendor's error against the form that its documentation gives.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		vendor Vendor
		fault  Fault
		tier   string
		status int
		body   string   // with NAME=id of the call
		header []string // name: value
	}{
		{OpenAI, Fault{Kind: Storm, Mode: "insufficient_quota"}, "", 429,
			`{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, nil},
		{OpenAI, Fault{Kind: Storm, RetryAfter: 1500 * time.Millisecond, Message: "slow down"}, "", 429,
			`{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, []string{"retry-after: 2", "retry-after-ms: 1500"}},
		{OpenAI, Fault{Kind: Auth}, "", 401,
			`{"error":{"message":"Incorrect API key provided. You can find your API key in your account's settings.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, nil},
		{OpenAI, Fault{Kind: Outage, Mode: "530", Message: "origin unreachable"}, "", 530, `{"error":{"message":"origin unreachable","type":"server_error","param":null,"code":null}}`, nil},
		{Azure, Fault{Kind: Storm}, "", 429,
			`{"error":{"message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 10 seconds.","type":null,"param":null,"code":"429"}}`,
			[]string{"retry-after: 10", "retry-after-ms: 10000"}},
		{Azure, Fault{Kind: Wrong400}, "", 400,
			`{"error":{"message":"Invalid value: the configuration of this model does not support the request.","type":"invalid_request_error","param":"model","code":"invalid_value"}}`, nil},
		{Anthropic, Fault{Kind: Overload}, "", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"ID"}`, []string{"x-should-retry: true"}},
		{Anthropic, Fault{Kind: Storm, Message: "m"}, "", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"m"},"request_id":"ID"}`, []string{"retry-after: 10", "request-id: ID"}},
		{Groq, Fault{Kind: Overload}, "flex", 498, `{"error":{"message":"Flex tier capacity exceeded. Please try again later.","type":"flex_tier_capacity_exceeded","param":null,"code":"capacity_exceeded"}}`, nil},
		{Bedrock, Fault{Kind: Storm}, "", 429, `{"message":"Too many tokens, please wait before trying again."}`, []string{"x-amzn-errortype: ThrottlingException"}},
		{Bedrock, Fault{Kind: Outage, Mode: "408"}, "", 408, `{"message":"Model has timed out in processing the request. Try your request again."}`, []string{"x-amzn-errortype: ModelTimeoutException"}},
		{Bedrock, Fault{Kind: Auth}, "", 403, `{"message":"The security token included in the request is invalid."}`, []string{"x-amzn-errortype: UnrecognizedClientException"}},
		{Gemini, Fault{Kind: Storm}, "", 429,
			`{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"10s"}]}}`, nil},
		{Vertex, Fault{Kind: Storm}, "", 429, `{"error":{"code":429,"message":"Resource exhausted. Please try again later.","status":"RESOURCE_EXHAUSTED"}}`, nil},
		{Cerebras, Fault{Kind: Storm}, "", 429, `{"message":"Tokens per minute limit exceeded - too many tokens processed.","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}`, nil},
		{Compatible, Fault{Kind: Outage, Mode: "500"}, "", 500, `{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"InternalServerError","param":null,"code":"500"}}`, nil},
	} {
		w := made(t, simple(func(c *Cloud) { c.Vendor = tt.vendor }), tt.fault)
		c := call(5, 1)
		c.Tier = tt.tier
		p := w.Ask(c, epoch)
		body := strings.ReplaceAll(string(p.Body()), p.ID(), "ID")
		if p.Status != tt.status || body != tt.body {
			t.Errorf("%s, %s: %d %s", tt.vendor, tt.fault.Kind, p.Status, body)
		}
		var headers []string
		for _, h := range p.Headers() {
			headers = append(headers, h.Name+": "+strings.ReplaceAll(h.Value, p.ID(), "ID"))
		}
		for _, h := range tt.header {
			if !slices.Contains(headers, h) {
				t.Errorf("%s, %s: no header %s among %v", tt.vendor, tt.fault.Kind, h, headers)
			}
		}
	}
}

// TestEveryRefusalHasWords asks every vendor for every refusal.
func TestEveryRefusalHasWords(t *testing.T) {
	t.Parallel()
	for _, v := range vendors {
		for r := Failed; r <= Full; r++ {
			w := made(t, simple(func(c *Cloud) { c.Vendor = v }))
			p := w.Refuse(call(1, 1), r, epoch)
			if p.Status < 400 || p.Status > 599 || !json.Valid(p.Body()) || len(p.words().text) < 8 {
				t.Errorf("%s, refusal %d: %d %s", v, r, p.Status, p.Body())
			}
			if (v == Bedrock || v == Gemini || v == Vertex) && p.words().kind == "" {
				t.Errorf("%s, refusal %d has no name", v, r)
			}
		}
	}
}

func TestRateLimitHeaders(t *testing.T) {
	t.Parallel()
	headers := func(v Vendor, change func(*Limits)) map[string]string {
		w := made(t, simple(func(c *Cloud) { c.Vendor = v; change(&c.Limits) }))
		out := map[string]string{}
		p := w.Ask(call(400, 10), epoch)
		for _, h := range p.Headers() {
			out[h.Name] = h.Value
		}
		return out
	}
	both := func(l *Limits) { l.Requests, l.Tokens = 60, 1200 }
	for _, tt := range []struct {
		name   string
		got    map[string]string
		header string
		want   string
	}{
		{"openai", headers(OpenAI, both), "x-ratelimit-limit-requests", "60"},
		{"openai", headers(OpenAI, both), "x-ratelimit-remaining-requests", "59"},
		{"openai", headers(OpenAI, both), "x-ratelimit-reset-requests", "1s"},
		{"openai", headers(OpenAI, both), "x-ratelimit-remaining-tokens", "800"},
		{"openai", headers(OpenAI, both), "x-ratelimit-reset-tokens", "20s"},
		{"azure", headers(Azure, both), "x-ratelimit-remaining-tokens", "800"},
		{"azure", headers(Azure, func(l *Limits) { l.Units, l.UnitIn, l.OutWeight = 1, 1000, 1 }), "azure-openai-deployment-utilization", "40.0%"},
		{"anthropic", headers(Anthropic, func(l *Limits) { l.TokensIn = 1200 }), "anthropic-ratelimit-input-tokens-remaining", "800"},
		{"anthropic", headers(Anthropic, func(l *Limits) { l.TokensIn = 1200 }), "anthropic-ratelimit-input-tokens-reset", "2026-10-01T12:00:20Z"},
		{"groq", headers(Groq, both), "x-ratelimit-limit-tokens", "1200"},
		{"cerebras", headers(Cerebras, both), "x-ratelimit-remaining-tokens-minute", "800"},
		{"gemini says nothing", headers(Gemini, both), "x-ratelimit-limit-requests", ""},
		{"bedrock says nothing", headers(Bedrock, both), "x-ratelimit-limit-requests", ""},
	} {
		if got := tt.got[tt.header]; got != tt.want {
			t.Errorf("%s: %s is %q, not %q", tt.name, tt.header, got, tt.want)
		}
	}
}

func TestIDsAreDifferent(t *testing.T) {
	t.Parallel()
	for _, v := range vendors {
		w := made(t, simple(func(c *Cloud) { c.Vendor = v }))
		seen := map[string]bool{}
		for range 500 {
			p := w.Ask(call(1, 1), epoch)
			for _, id := range []string{p.ID(), p.AnswerID()} {
				if seen[id] {
					t.Fatalf("%s: %s comes twice", v, id)
				}
				seen[id] = true
			}
		}
	}
}
