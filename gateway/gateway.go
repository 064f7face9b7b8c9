// Package gateway answers "how do we reach a model?". [OpenAI] asks any server that speaks OpenAI Chat Completions; [Builtin] asks the
// embedded model. Both have the two methods that the engine wants: Answer and Price.
//
// The gateway is the one retry authority: nobody who calls it tries again after it has given up. A failure is judged by what happened,
// not by the status code alone (failure.go), and its kind decides by the one table of the root package whether another try is worth it.
// All tries of a call, the waits between them and the longest answer fit in one budget of time.
//
// Who watches a request through its Tokens gets the text as it comes. If the stream breaks and the call is tried again, Tokens first gets
// the empty text, which means: what came so far for this step is void, the answer begins anew. It never gets the empty text otherwise.
//
// A key is a [Secret]: it goes into the header of a request to the configured server and nowhere else. Redirects to another scheme, host or
// port are refused, so neither key nor text can be sent on; a server named by a loopback address is reached on this machine or not at all.
package gateway

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"decouple.dev/decouple"
)

// Config says which server answers and how long it may take. Only URL is required; a zero field has the default that it names.
type Config struct {
	URL   string // of the interface, for example http://127.0.0.1:11434/v1; without a path, /v1 is added
	Key   Secret // sent as a bearer token; empty sends none
	Model string // asked whatever model an agent names; empty asks the one that the agent names
	Price decouple.Price

	Connect       time.Duration // to reach the server: 10 s
	FirstToken    time.Duration // from the request to the first token, thoughts included: 2 min
	BetweenTokens time.Duration // from one token to the next: 1 min; a comment that keeps the line open is no token
	Budget        time.Duration // for a call with all its tries: 10 min
	Retries       int           // further tries after the first: 4; a negative number is none
	Backoff       time.Duration // before the first further try, doubled for each one after it up to 16 times, and varied: 500 ms
	MaxAnswer     int64         // bytes of one try's answer on the wire: 16 MB

	Proxy func(*http.Request) (*url.URL, error) // never asked for a loopback address; nil is no proxy
	Log   *slog.Logger                          // told of every failed try that is followed by another; nil is silent
}

func (c Config) withDefaults() Config {
	orElse(&c.Connect, 10*time.Second)
	orElse(&c.FirstToken, 2*time.Minute)
	orElse(&c.BetweenTokens, time.Minute)
	orElse(&c.Budget, 10*time.Minute)
	orElse(&c.Retries, 4)
	orElse(&c.Backoff, 500*time.Millisecond)
	orElse(&c.MaxAnswer, 16<<20)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
