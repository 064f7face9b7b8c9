package gateway

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// OpenAI asks a server that speaks OpenAI Chat Completions. Its methods may be called from many goroutines.
type OpenAI struct {
	cfg       Config // without its key
	to        endpoint
	client    *http.Client
	authorize func(http.Header)   // the key lives in these two functions, so that no way to print an OpenAI prints it
	clean     func(string) string // makes a server's words fit to be shown
	keyed     bool

	mu      sync.Mutex
	learned dialect.ChatOptions // what the server has refused before
}

// NewOpenAI makes a client. What is wrong with c is Invalid.
func NewOpenAI(c Config) (*OpenAI, error) {
	to, err := newEndpoint(c.URL)
	if err != nil {
		return nil, err
	}
	key := Secret(strings.TrimSpace(string(c.Key)))
	if strings.ContainsFunc(string(key), func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
		return nil, decouple.Errorf(decouple.Invalid, "the key of the model server holds characters that no key has: set OPENAI_API_KEY anew")
	}
	c = c.withDefaults()
	c.Key, c.URL = "", ""
	o := &OpenAI{cfg: c, to: to, client: to.client(c), clean: key.cleaner(), keyed: key != ""}
	o.authorize = func(h http.Header) {
		if key != "" {
			h.Set("Authorization", "Bearer "+string(key))
		}
	}
	return o, nil
}

// Describe is a line for people: which model answers, and whether text leaves this machine.
func (o *OpenAI) Describe() string { return o.to.describe(o.cfg.Model) }

// String is Describe.
func (o *OpenAI) String() string { return o.Describe() }

// Price is what the configuration says, for every model.
func (o *OpenAI) Price(string) decouple.Price { return o.cfg.Price }

// Answer asks for the next message, by as many tries as the configuration permits. The usage of the answer holds what broken tries before
// it have used, as far as it can be told, and is then marked as estimated. With an error the answer holds nothing but that usage.
// Errors name the server and the remedy: Unauthenticated, Denied (rights, credit), NotFound (model, server), TooLarge (the conversation, the
// answer), RateLimited, Unavailable, Deadline (too slow, or ctx), Canceled (ctx), Invalid, Internal (a request that cannot be sent).
func (o *OpenAI) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	if o.cfg.Model != "" {
		req.Model = o.cfg.Model
	}
	if req.Model == "" {
		return decouple.Answer{}, decouple.Errorf(decouple.Invalid, "no model is named: give one with --model NAME")
	}
	within, cancel := context.WithTimeoutCause(ctx, o.cfg.Budget, errBudget)
	defer cancel()
	c := &call{o: o, caller: ctx, req: req, options: o.options()}
	for {
		a, failed := c.try(within)
		if failed == nil {
			o.learn(c.options)
			a.Usage = c.priced(a.Usage.Add(c.spent))
			return a, nil
		}
		c.spent = c.spent.Add(failed.used)
		if c.fallBack(failed) {
			continue
		}
		if !c.again(within, failed) {
			return decouple.Answer{Usage: c.priced(c.spent)}, c.giveUp(failed)
		}
	}
}

func (o *OpenAI) options() dialect.ChatOptions {
	o.mu.Lock()
	defer o.mu.Unlock()
	options := o.learned
	options.Stream = true
	return options
}

// learn keeps what had to be left out for an answer to come, so that the next call leaves it out at once.
func (o *OpenAI) learn(options dialect.ChatOptions) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.learned.NoUsage = o.learned.NoUsage || options.NoUsage
	o.learned.NewLimit = o.learned.NewLimit || options.NewLimit
}

// call is one call of a model with all its tries.
type call struct {
	o       *OpenAI
	caller  context.Context
	req     decouple.Request
	options dialect.ChatOptions
	tries   int
	spent   decouple.Usage // by tries that failed
	told    bool           // who watches has text of the present try
}

// fallBack leaves out a parameter that the server refuses, each one once; that is not a further try.
func (c *call) fallBack(f *failure) bool {
	switch {
	case f.fault == nil:
		return false
	case !c.options.NoUsage && f.fault.Refuses("stream_options"):
		c.options.NoUsage = true
	case !c.options.NewLimit && c.req.MaxTokens > 0 && f.fault.Refuses("max_tokens"):
		c.options.NewLimit = true
	default:
		return false
	}
	return true
}

// again waits for the next try; false is that there is none: the failure would only come again, or the tries or the time are used up.
func (c *call) again(ctx context.Context, f *failure) bool {
	c.tries++
	wait := delay(c.o.cfg.Backoff, c.tries, f.after, rand.Float64())
	deadline, _ := ctx.Deadline()
	if ctx.Err() != nil || !f.kind.Rule().Retry || c.tries > c.o.cfg.Retries || time.Now().Add(wait).After(deadline) {
		return false
	}
	c.o.cfg.Log.Warn("model call failed, trying again", "host", c.o.to.url.Host, "kind", f.kind, "why", f.said, "wait", wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	if c.told {
		c.req.Tokens("")
		c.told = false
	}
	return true
}

// delay is the wait before a further try: doubled each time, then varied by chance (0 to 1) between half and the whole, so that many
// callers do not come back at once; never less than the server asked for.
func delay(backoff time.Duration, tries int, asked time.Duration, chance float64) time.Duration {
	wait := backoff << min(tries-1, 4)
	wait = wait/2 + time.Duration(chance*float64(wait/2))
	if asked >= wait {
		return asked + time.Duration(chance*float64(backoff))
	}
	return wait
}

func (c *call) priced(u decouple.Usage) decouple.Usage {
	u.Cost = 0
	if c.o.cfg.Price.Known {
		u.Cost = c.o.cfg.Price.Cost(u)
	}
	return u
}

func (c *call) tell(text string) {
	if text != "" && c.req.Tokens != nil {
		c.told = true
		c.req.Tokens(text)
	}
}
