package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/spf13/pflag"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
	"decouple.dev/decouple/gateway"
)

// Where the key of an account leads, and what is asked there, unless somebody says otherwise.
const (
	openAI      = "https://api.openai.com/v1"
	openAIModel = "gpt-5-mini"
)

// model answers agents and can say who it is.
type model interface {
	Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error)
	Price(model string) decouple.Price
	Describe() string
}

// modelFlags say which model answers.
type modelFlags struct {
	name, url       string
	priceIn, priceO moneyFlag
}

const modelHelp = `

Which model answers: "--model builtin" is in this program and needs no network; it only quotes. --model-url with
--model NAME asks a server that speaks OpenAI Chat Completions, with the key in OPENAI_API_KEY if there is one. With
neither, OPENAI_API_KEY or OPENAI_BASE_URL in the environment choose the server, and without them the builtin model
answers. The first line on standard error says which it is and whether text leaves this machine.`

func (m *modelFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.name, "model", "", "model that answers: builtin, or a `NAME` that the server knows")
	f.StringVar(&m.url, "model-url", "", "`URL` of an OpenAI-compatible server, for example http://127.0.0.1:11434/v1")
	f.Var(&m.priceIn, "price-in", "`USD` for a million tokens that the model reads, so that --usd can be kept")
	f.Var(&m.priceO, "price-out", "`USD` for a million tokens that the model writes")
}

// choose makes the model that the flags and the environment name. Where no price is given, that of an earlier process holds: a run keeps its own.
func (a *app) choose(m modelFlags, earlier decouple.Price) (model, error) {
	key := a.env("OPENAI_API_KEY")
	url := cmp.Or(m.url, a.env("OPENAI_BASE_URL"))
	if url == "" && key != "" {
		url = openAI
	}
	price := decouple.Price{In: m.priceIn.money, Out: m.priceO.money, Known: m.priceIn.set}
	if !price.Known {
		price = earlier
	}
	switch {
	case m.priceIn.set != m.priceO.set:
		return nil, decouple.Errorf(decouple.Invalid, "--price-in and --price-out belong together: give both, in USD for a million tokens")
	case m.name == builtin.Name && m.url != "":
		return nil, decouple.Errorf(decouple.Invalid, "--model builtin is in this program and has no --model-url: leave one of them out")
	case m.name == builtin.Name || m.name == "" && url == "":
		if m.priceIn.set {
			return nil, decouple.Errorf(decouple.Invalid, "--price-in and --price-out are for a model server: the builtin model costs nothing")
		}
		return gateway.Builtin{}, nil
	case url == "":
		return nil, decouple.Errorf(decouple.Invalid, "--model %s needs a server: name it with --model-url, or set OPENAI_API_KEY, or take --model builtin", m.name)
	case m.url != "" && m.name == "":
		return nil, decouple.Errorf(decouple.Invalid, "--model-url needs --model NAME: the model that the server shall answer with")
	}
	return gateway.NewOpenAI(gateway.Config{
		URL: url, Key: gateway.Secret(key), Model: cmp.Or(m.name, openAIModel), Price: price,
		Proxy: http.ProxyFromEnvironment, Log: slog.New(plainLog{a}),
	})
}

// plainLog writes what the gateway logs as a line for people.
type plainLog struct{ a *app }

// Enabled says that warnings are wanted.
func (l plainLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle writes one line.
func (l plainLog) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(at slog.Attr) bool {
		line += fmt.Sprintf("; %s: %s", at.Key, printable(at.Value.String()))
		return true
	})
	l.a.say("note: %s", line)
	return nil
}

// WithAttrs is not used by the gateway.
func (l plainLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup is not used by the gateway.
func (l plainLog) WithGroup(string) slog.Handler { return l }

// again is how the flags are given once more, for a command that goes on. A key is never among them.
func (m *modelFlags) again() []string {
	var args []string
	for _, f := range []struct{ flag, value string }{{"--model", m.name}, {"--model-url", m.url}} {
		if f.value != "" {
			args = append(args, f.flag, f.value)
		}
	}
	return args
}
