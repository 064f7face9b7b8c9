package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/gateway/transport"
)

// limitHeaders names the headers of rate limits. Each vendor has its own, with the same three facts in them.
var limitHeaders = []struct {
	of                      func(*route.Limits) *route.Limit
	limit, remaining, reset string
}{
	{requests, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
	{requests, "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
	{tokensIn, "anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
	{tokensOut, "anthropic-ratelimit-output-tokens-limit", "anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
}

func requests(l *route.Limits) *route.Limit  { return &l.Requests }
func tokens(l *route.Limits) *route.Limit    { return &l.Tokens }
func tokensIn(l *route.Limits) *route.Limit  { return &l.TokensIn }
func tokensOut(l *route.Limits) *route.Limit { return &l.TokensOut }

// limitsOf reads what an endpoint says of its limits; the zero value if it says nothing.
func limitsOf(h transport.Header, now time.Time) route.Limits {
	var out route.Limits
	for i := range limitHeaders {
		names := &limitHeaders[i]
		left, ok := h.Lookup(names.remaining)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(left, 10, 64)
		if err != nil || n < 0 {
			continue
		}
		l := names.of(&out)
		l.Remaining = n
		l.Limit, _ = strconv.ParseInt(h.Get(names.limit), 10, 64) // what is missing stays zero: not known
		l.Reset = resetIn(h.Get(names.reset), now)
	}
	return out
}

// resetIn reads when a limit is whole again: a time, a span such as 6m0s or 17ms, or a number of seconds. Zero is not known.
func resetIn(s string, now time.Time) time.Duration {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return max(0, at.Sub(now))
	}
	if d, err := time.ParseDuration(s); err == nil {
		return max(0, d)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return span(f)
	}
	return 0
}

// waitOf is how long a server asks to be left alone, in any of the ways to say it; zero if it does not.
func waitOf(h transport.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return span(ms / 1000)
	}
	value := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		return span(s)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// span is a number of seconds as a duration of at most a year; what is no number of seconds is zero.
func span(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, 366*24*3600) * float64(time.Second))
}
