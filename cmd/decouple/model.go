package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/credential"
)

// flagAccount is the name of the account that --model-url makes.
const flagAccount = "model-url"

// listingTime is how long a server may take to say which models it has.
const listingTime = 3 * time.Second

// modelFlags say which model answers.
type modelFlags struct {
	name, url       string
	priceIn, priceO moneyFlag
}

const modelHelp = `

Which model answers: "--model builtin" is in this program and needs no network; it only quotes. --model-url with
--model NAME asks a server that speaks OpenAI Chat Completions, with the key in OPENAI_API_KEY if there is one. With
neither, the accounts that the environment and the config file give (OPENAI_API_KEY, ANTHROPIC_API_KEY, AZURE_OPENAI_ENDPOINT,
AWS and Google credentials, GEMINI_API_KEY, GROQ_API_KEY, CEREBRAS_API_KEY, OLLAMA_HOST ...) are asked for what each agent names,
and without any the builtin model answers. --model NAME then asks for one model or alias, whatever agents name. The first line
on standard error says which it is and whether text leaves this machine; ` + "`decouple endpoints ls`" + ` shows all of them.`

func (m *modelFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.name, "model", "", "model that answers: builtin, or the `NAME` of a model or alias")
	f.StringVar(&m.url, "model-url", "", "`URL` of an OpenAI-compatible server, for example http://127.0.0.1:11434/v1")
	f.Var(&m.priceIn, "price-in", "`USD` for a million tokens that the model reads, so that --usd can be kept")
	f.Var(&m.priceO, "price-out", "`USD` for a million tokens that the model writes")
}

// models is what can answer, before the journal is open that keeps accounts of it.
type models struct {
	gateway.Agents
	cfg gateway.Config
}

// choose finds the models that the flags, the config file and the environment name. Where no price is given, that of an earlier process holds: a run keeps its own.
func (a *app) choose(m modelFlags, earlier decouple.Price) (*models, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	cat, err := catalog.Embedded()
	if err != nil {
		return nil, err
	}
	file, err := a.gatewaySettings()
	if err != nil {
		return nil, err
	}
	accounts := file.accounts
	if file.discover {
		found, problems := credential.Discover(a.env)
		for _, p := range problems {
			a.say("note: %s", p.Text)
		}
		accounts = append(accounts, unnamed(found, accounts)...)
	}
	if m.url != "" {
		accounts = []credential.Account{m.account(credential.NewSecret(a.env("OPENAI_API_KEY")))}
	}
	if m.name == builtin.Name {
		accounts = nil // nobody else is asked
	}
	accounts = a.ask(accounts, m.name)
	if cat, err = file.offers(cat, accounts); err != nil {
		return nil, err
	}
	if cat, err = m.price(cat, earlier); err != nil {
		return nil, err
	}
	cfg := file.config
	cfg.Catalog, cfg.Accounts, cfg.Log = cat, accounts, slog.New(plainLog{a})
	cfg.Proxy = func(u *url.URL) (*url.URL, error) { return http.ProxyFromEnvironment(&http.Request{URL: u}) }
	out := &models{cfg: cfg}
	out.Model, out.Default = m.asks(cat), "smart"
	if out.Gateway, err = gateway.New(cfg); err != nil {
		return nil, err
	}
	return out, out.reach(m)
}

func (m modelFlags) check() error {
	switch {
	case m.priceIn.set != m.priceO.set:
		return decouple.Errorf(decouple.Invalid, "--price-in and --price-out belong together: give both, in USD for a million tokens")
	case m.name == builtin.Name && m.url != "":
		return decouple.Errorf(decouple.Invalid, "--model builtin is in this program and has no --model-url: leave one of them out")
	case m.name == builtin.Name && m.priceIn.set:
		return decouple.Errorf(decouple.Invalid, "--price-in and --price-out are for a model server: the builtin model costs nothing")
	case m.url != "" && m.name == "":
		return decouple.Errorf(decouple.Invalid, "--model-url needs --model NAME: the model that the server shall answer with")
	}
	return nil
}

// account is the one that --model-url makes.
func (m modelFlags) account(key credential.Secret) credential.Account {
	a := credential.Account{Name: flagAccount, Provider: "compatible", URL: m.url, Models: map[catalog.ModelID]string{catalog.ModelID(m.name): m.name}, From: "OPENAI_API_KEY"}
	if !key.Empty() {
		a.Auth = credential.Auth{Method: credential.Bearer, Key: key}
	}
	return a
}

// unnamed leaves out the accounts whose names are taken.
func unnamed(found, taken []credential.Account) []credential.Account {
	return slices.DeleteFunc(found, func(f credential.Account) bool {
		return slices.ContainsFunc(taken, func(t credential.Account) bool { return t.Name == f.Name })
	})
}

// ask finds out what servers serve that say so themselves. One that does not answer, or is not asked in time, serves the model that is named.
func (a *app) ask(accounts []credential.Account, named string) []credential.Account {
	for i, acc := range accounts {
		if acc.Provider != "compatible" || len(acc.Models) > 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), listingTime)
		names, err := gateway.ListModels(ctx, acc)
		cancel()
		switch {
		case err != nil && named == "":
			a.say("note: the server of %s does not say which models it has: %v; name one with --model", acc.From, err)
			names = []string{"default"}
		case named != "" && !slices.Contains(names, named):
			names = append(names, named)
		}
		accounts[i].Models = map[catalog.ModelID]string{}
		for _, n := range names {
			accounts[i].Models[catalog.ModelID(n)] = n
		}
	}
	return accounts
}

// asks is the model that is asked for whatever agents name; empty leaves it to them.
func (m modelFlags) asks(cat *catalog.Catalog) string {
	if m.name != "" && m.url != "" {
		for id, e := range cat.Endpoints {
			if e.Account == flagAccount {
				return string(id)
			}
		}
	}
	if m.name != "" {
		return m.name
	}
	// Where no account serves a model that the aliases know, what they do serve is asked.
	alias, err := cat.Resolve("smart")
	if err != nil {
		return ""
	}
	for _, id := range cat.Members(alias) {
		if cat.Endpoints[id].Provider != builtin.Name {
			return ""
		}
	}
	for _, id := range slices.Sorted(maps.Keys(cat.Endpoints)) {
		if cat.Endpoints[id].Provider != builtin.Name {
			return string(id)
		}
	}
	return ""
}

// price lays the given prices over those of the catalog, and an earlier one over what has none.
func (m modelFlags) price(cat *catalog.Catalog, earlier decouple.Price) (*catalog.Catalog, error) {
	p := decouple.Price{In: m.priceIn.money, Out: m.priceO.money, Known: m.priceIn.set}
	given := p.Known
	if !given {
		p = earlier
	}
	if !p.Known || p.Local {
		return cat, nil
	}
	o := catalog.Overlay{Prices: map[string][]catalog.Price{}}
	for _, e := range cat.Endpoints {
		if _, known := cat.PriceOf(e, time.Now()); e.Provider == builtin.Name || known && !given {
			continue
		}
		o.Prices[e.Provider+"/"+e.Name] = []catalog.Price{{Source: "the command line", Tiers: []catalog.Tier{{In: p.In, Cached: p.In, CacheWrite: p.In, CacheLong: p.In, Out: p.Out}}}}
	}
	return cat.With(o)
}

// reach says why what is asked for cannot be.
func (o *models) reach(m modelFlags) error {
	if m.name == "" {
		return nil
	}
	_, err := o.cfg.Catalog.Resolve(o.Model)
	if err == nil {
		return nil
	}
	if len(o.cfg.Accounts) == 0 {
		return decouple.Errorf(decouple.Invalid, "--model %s needs a server: name it with --model-url, or set OPENAI_API_KEY, or take --model builtin", m.name)
	}
	return decouple.Errorf(decouple.Invalid, "--model %s: %w", m.name, err)
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
