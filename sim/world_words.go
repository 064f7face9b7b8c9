package sim

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// words are what a vendor says when it refuses: its own name for the sort of error, its code, and the text.
type words struct {
	status            int
	kind, code, param string
	text              string
}

// status gives the plan the status of its refusal, unless a fault has named one.
func (p *Plan) status() {
	switch {
	case p.Refusal == Served:
		p.Status = 200
	case p.Refusal != Refused && p.Refusal != Cutoff && p.Status == 0:
		p.Status = p.words().status
	}
}

// Body is what the vendor writes when it refuses a call; nil for one that is served or gets no answer.
func (p *Plan) Body() []byte {
	if p.cloud == nil || p.Refusal <= Cutoff {
		return nil
	}
	w := p.words()
	if p.Message != "" {
		w.text = p.Message
	}
	switch p.cloud.Vendor {
	case Azure:
		return p.azureBody(w)
	case Bedrock:
		return encode(struct {
			Message string `json:"message"`
		}{w.text})
	case Anthropic:
		return encode(anthropicError{"error", anthropicInner{w.kind, w.text}, p.ID()})
	case Gemini, Vertex:
		return p.geminiBody(w)
	case Cerebras:
		return encode(openaiInner{w.text, w.kind, null(w.param), null(w.code)})
	}
	return encode(openaiError{openaiInner{w.text, w.kind, null(w.param), null(w.code)}})
}

type openaiError struct {
	Error openaiInner `json:"error"`
}

type openaiInner struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

type anthropicError struct {
	Type      string         `json:"type"`
	Error     anthropicInner `json:"error"`
	RequestID string         `json:"request_id"`
}

type anthropicInner struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// encode is JSON of one of the error types, which cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sim: an error that is not JSON: " + err.Error())
	}
	return b
}

// words finds the vendor's words for the plan's refusal.
func (p *Plan) words() words {
	switch p.cloud.Vendor {
	case Azure:
		return p.azureWords()
	case Bedrock:
		return p.bedrockWords()
	case Anthropic:
		return p.anthropicWords()
	case Gemini, Vertex:
		return p.geminiWords()
	case Cerebras:
		return p.cerebrasWords()
	case Compatible:
		return p.compatibleWords()
	}
	return p.openaiWords()
}

// used and asked are the figures of the quota that refused.
func (p *Plan) quota() (name, short string, g Gauge, asked int64) {
	switch p.Refusal {
	case RequestRate:
		return "requests per min", "RPM", p.Room.Requests, 1
	case InRate:
		return "input tokens per min", "ITPM", p.Room.In, int64(p.counted.in)
	case OutRate:
		return "output tokens per min", "OTPM", p.Room.Out, int64(max(1, p.counted.out))
	case DayRate:
		return "tokens per day", "TPD", p.Room.Day, int64(p.counted.in + p.counted.out)
	}
	return "tokens per min", "TPM", p.Room.Tokens, int64(p.counted.in + p.counted.out)
}

func (p *Plan) openaiWords() words {
	switch p.Refusal {
	case BadKey:
		return words{401, "invalid_request_error", "invalid_api_key", "", "Incorrect API key provided. You can find your API key in your account's settings."}
	case Forbidden:
		return words{403, "invalid_request_error", "unsupported_country_region_territory", "", "Country, region, or territory not supported"}
	case NoModel:
		return words{404, "invalid_request_error", "model_not_found", "", fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", plain(p.Model))}
	case Retired:
		return words{404, "invalid_request_error", "model_not_found", "", fmt.Sprintf("The model `%s` has been deprecated, learn more in the page on deprecations.", plain(p.Model))}
	case WrongCall:
		return words{400, "invalid_request_error", "invalid_value", "model", "Invalid value: the configuration of this model does not support the request."}
	case TooLong:
		return words{400, "invalid_request_error", "context_length_exceeded", "messages", fmt.Sprintf("This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. Please reduce the length of the messages.", p.context(), p.Call.In)}
	case Filtered:
		return words{400, "invalid_request_error", "content_policy_violation", "", "Your request was rejected as a result of our safety system."}
	case NoMoney:
		return words{429, "insufficient_quota", "insufficient_quota", "", "You exceeded your current quota, please check your plan and billing details."}
	case Full:
		if p.cloud.Vendor == Groq && p.Call.Tier == "flex" {
			return words{498, "flex_tier_capacity_exceeded", "capacity_exceeded", "", "Flex tier capacity exceeded. Please try again later."}
		}
		return words{503, "service_unavailable_error", "", "", "The engine is currently overloaded, please try again later"}
	case Unavailable:
		return words{503, "service_unavailable_error", "", "", "Service Unavailable."}
	case Failed, Status:
		return words{500, "server_error", "", "", "The server had an error while processing your request. Sorry about that!"}
	}
	name, short, g, asked := p.quota()
	kind := "tokens"
	if p.Refusal == RequestRate {
		kind = "requests"
	}
	return words{429, kind, "rate_limit_exceeded", "", fmt.Sprintf("Rate limit reached for %s in organization org-sim on %s (%s): Limit %d, Used %d, Requested %d. Please try again in %s.",
		p.Model, name, short, g.Limit, g.Limit-g.Left, asked, brief(p.RetryAfter))}
}

func (p *Plan) compatibleWords() words {
	w := p.openaiWords()
	w.param = ""
	kinds := map[int]string{400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError", 503: "ServiceUnavailableError"}
	w.kind, w.code = kinds[w.status], strconv.Itoa(w.status)
	if p.Refusal == NoModel {
		w.text = fmt.Sprintf("The model `%s` does not exist.", plain(p.Model))
	}
	return w
}

func (p *Plan) cerebrasWords() words {
	switch p.Refusal {
	case BadKey:
		return words{401, "invalid_request_error", "wrong_api_key", "api_key", "Wrong API Key"}
	case NoModel, Retired:
		return words{404, "not_found_error", "model_not_found", "model", fmt.Sprintf("Model %s does not exist or you do not have access to it.", plain(p.Model))}
	case RequestRate:
		return words{429, "too_many_requests_error", "request_quota_exceeded", "quota", "Requests per minute limit exceeded - too many requests sent."}
	case TokenRate, InRate, OutRate:
		return words{429, "too_many_tokens_error", "token_quota_exceeded", "quota", "Tokens per minute limit exceeded - too many tokens processed."}
	case DayRate:
		return words{429, "too_many_tokens_error", "token_quota_exceeded", "quota", "Tokens per day limit exceeded - too many tokens processed."}
	case Full:
		return words{429, "too_many_requests_error", "queue_exceeded", "queue", "We're experiencing high traffic right now! Please try again soon."}
	}
	return p.openaiWords()
}

func (p *Plan) azureWords() words {
	after := seconds(p.RetryAfter)
	switch p.Refusal {
	case BadKey:
		return words{status: 401, code: "401", text: "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}
	case Forbidden:
		return words{status: 403, code: "403", text: "Access denied due to Virtual Network/Firewall rules."}
	case NoModel, Retired:
		return words{status: 404, code: "DeploymentNotFound", text: "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}
	case Filtered:
		return words{status: 400, code: "content_filter", param: "prompt", text: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry."}
	case RequestRate, TokenRate, DayRate, InRate, OutRate:
		what := "token"
		if p.Refusal == RequestRate {
			what = "call"
		}
		return words{status: 429, code: "429", text: fmt.Sprintf("Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded %s rate limit of your current OpenAI S0 pricing tier. Please retry after %d seconds.", what, after)}
	case Provisioned:
		return words{status: 429, code: "429", text: fmt.Sprintf("The provisioned deployment is at 100%% of its utilization. Please retry after %d seconds.", after)}
	case PoolHot, Full:
		return words{status: 429, code: "too_many_requests", text: "The system is currently experiencing high demand and cannot process your request. Please retry later."}
	case Failed, Status:
		return words{status: 500, code: "InternalServerError", text: "The server had an error while processing your request. Sorry about that!"}
	case Unavailable:
		return words{status: 503, code: "ServiceUnavailable", text: "The service is temporarily unable to process your request. Please try again later."}
	}
	return p.openaiWords()
}

func (p *Plan) azureBody(w words) []byte {
	type verdict struct {
		Filtered bool   `json:"filtered"`
		Severity string `json:"severity"`
	}
	type inner struct {
		Code   string             `json:"code"`
		Result map[string]verdict `json:"content_filter_result"`
	}
	body := struct {
		Error struct {
			Message string  `json:"message"`
			Type    *string `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
			Status  int     `json:"status,omitempty"`
			Inner   *inner  `json:"innererror,omitempty"`
		} `json:"error"`
	}{}
	e := &body.Error
	e.Message, e.Type, e.Param, e.Code = w.text, null(w.kind), null(w.param), w.code
	if p.Refusal == Filtered {
		safe := verdict{false, "safe"}
		e.Status = 400
		e.Inner = &inner{"ResponsibleAIPolicyViolation", map[string]verdict{"hate": safe, "self_harm": safe, "sexual": safe, "violence": {true, "medium"}}}
	}
	return encode(body)
}

func (p *Plan) anthropicWords() words {
	switch p.Refusal {
	case BadKey:
		return words{status: 401, kind: "authentication_error", text: "invalid x-api-key"}
	case Forbidden:
		return words{status: 403, kind: "permission_error", text: "Your API key does not have permission to use the specified resource."}
	case NoModel, Retired:
		return words{status: 404, kind: "not_found_error", text: "model: " + plain(p.Model)}
	case TooLong:
		return words{status: 400, kind: "invalid_request_error", text: fmt.Sprintf("prompt is too long: %d tokens > %d maximum", p.Call.In, p.context())}
	case WrongCall, Filtered:
		return words{status: 400, kind: "invalid_request_error", text: "Output blocked by content filtering policy"}
	case NoMoney:
		return words{status: 400, kind: "invalid_request_error", text: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}
	case Full, PoolHot:
		return words{status: 529, kind: "overloaded_error", text: "Overloaded"}
	case Failed, Status:
		return words{status: 500, kind: "api_error", text: "Internal server error"}
	case Unavailable:
		return words{status: 503, kind: "api_error", text: "Service temporarily unavailable"}
	}
	name, _, g, _ := p.quota()
	return words{status: 429, kind: "rate_limit_error", text: fmt.Sprintf("This request would exceed your organization's rate limit of %d %sute.", g.Limit, name)}
}

func (p *Plan) bedrockWords() words {
	switch p.Refusal {
	case BadKey:
		return words{status: 403, kind: "UnrecognizedClientException", text: "The security token included in the request is invalid."}
	case Forbidden:
		return words{status: 403, kind: "AccessDeniedException", text: "You don't have access to the model with the specified model ID."}
	case NoModel:
		return words{status: 400, kind: "ValidationException", text: "The provided model identifier is invalid."}
	case Retired:
		return words{status: 404, kind: "ResourceNotFoundException", text: "This model version has reached the end of its life. Please refer to the AWS documentation for more details."}
	case TooLong:
		return words{status: 400, kind: "ValidationException", text: "Input is too long for requested model."}
	case WrongCall, Filtered:
		return words{status: 400, kind: "ValidationException", text: "The model returned the following errors: the request is not supported by this model's configuration."}
	case RequestRate:
		return words{status: 429, kind: "ThrottlingException", text: "Too many requests, please wait before trying again."}
	case Full:
		return words{status: 503, kind: "ServiceUnavailableException", text: "The service isn't currently available. For troubleshooting this error, see the AWS documentation."}
	case Unavailable:
		return words{status: 503, kind: "ServiceUnavailableException", text: "Bedrock is unable to process your request."}
	case Failed:
		return words{status: 500, kind: "InternalServerException", text: "The system encountered an unexpected error during processing. Try your request again."}
	case NoMoney:
		return words{status: 400, kind: "ServiceQuotaExceededException", text: "Your request exceeds the service quota for your account."}
	case Status:
		if p.Status == 408 {
			return words{status: 408, kind: "ModelTimeoutException", text: "Model has timed out in processing the request. Try your request again."}
		}
		return words{status: 424, kind: "ModelErrorException", text: "The request failed due to an error while processing the model."}
	}
	return words{status: 429, kind: "ThrottlingException", text: "Too many tokens, please wait before trying again."}
}

func (p *Plan) geminiWords() words {
	vertex := p.cloud.Vendor == Vertex
	switch p.Refusal {
	case BadKey:
		if !vertex {
			return words{status: 400, kind: "INVALID_ARGUMENT", code: "API_KEY_INVALID", text: "API key not valid. Please pass a valid API key."}
		}
		return words{status: 401, kind: "UNAUTHENTICATED", text: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."}
	case Forbidden:
		return words{status: 403, kind: "PERMISSION_DENIED", text: "The caller does not have permission"}
	case NoModel, Retired:
		return words{status: 404, kind: "NOT_FOUND", text: fmt.Sprintf("models/%s is not found for API version v1beta, or is not supported for generateContent.", plain(p.Model))}
	case TooLong:
		return words{status: 400, kind: "INVALID_ARGUMENT", text: fmt.Sprintf("The input token count (%d) exceeds the maximum number of tokens allowed (%d).", p.Call.In, p.context())}
	case WrongCall, Filtered:
		return words{status: 400, kind: "INVALID_ARGUMENT", text: "Request contains an invalid argument."}
	case Full, Unavailable:
		return words{status: 503, kind: "UNAVAILABLE", text: "The model is overloaded. Please try again later."}
	case Failed, Status:
		return words{status: 500, kind: "INTERNAL", text: "An internal error has occurred. Please retry."}
	}
	if vertex {
		return words{status: 429, kind: "RESOURCE_EXHAUSTED", text: "Resource exhausted. Please try again later."}
	}
	return words{status: 429, kind: "RESOURCE_EXHAUSTED", text: "You exceeded your current quota, please check your plan and billing details."}
}

func (p *Plan) geminiBody(w words) []byte {
	type detail struct {
		Type   string `json:"@type"`
		Reason string `json:"reason,omitempty"`
		Domain string `json:"domain,omitempty"`
		Delay  string `json:"retryDelay,omitempty"`
	}
	body := struct {
		Error struct {
			Code    int      `json:"code"`
			Message string   `json:"message"`
			Status  string   `json:"status"`
			Details []detail `json:"details,omitempty"`
		} `json:"error"`
	}{}
	e := &body.Error
	e.Code, e.Message, e.Status = p.Status, w.text, w.kind
	if p.Status == 401 {
		e.Status = "UNAUTHENTICATED"
	}
	if w.code != "" {
		e.Details = append(e.Details, detail{Type: "type.googleapis.com/google.rpc.ErrorInfo", Reason: w.code, Domain: "googleapis.com"})
	}
	if p.Status == 429 && p.RetryAfter > 0 && p.cloud.Vendor == Gemini {
		e.Details = append(e.Details, detail{Type: "type.googleapis.com/google.rpc.RetryInfo", Delay: strconv.FormatInt(seconds(p.RetryAfter), 10) + "s"})
	}
	return encode(body)
}

// context is how much the model can read.
func (p *Plan) context() int64 {
	if m := p.cloud.models[p.Model]; m != nil {
		return m.Context
	}
	return 0
}

// plain is a name that came from outside, without what does not belong in a message.
func plain(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			continue
		}
		if out = append(out, r); len(out) == 100 {
			break
		}
	}
	return string(out)
}
