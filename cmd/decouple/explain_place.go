package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/risk/whatif"
)

// placeFlags ask where a model may be asked.
type placeFlags struct {
	q           api.PlacementQuery
	asOf, known string
}

func (p *placeFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.q.Model, "model", "", "say where this `MODEL` may be asked: a model, an alias or an endpoint")
	f.StringVar(&p.q.Class, "class", "", "`CLASS` of the work (default: stateless_api)")
	f.StringSliceVar(&p.q.Labels, "label", nil, "`LABEL` of the data; may be repeated")
	f.StringVar(&p.q.Team, "team", "", "`TEAM` that asks")
	f.StringVar(&p.q.Agent, "agent", "", "`AGENT` that asks")
	f.StringVar(&p.q.At, "at", "", "only at this `PLACE`: an endpoint, cloud, vendor, region or geography; one that nobody has an account at is supposed")
	f.StringVar(&p.asOf, "as-of", "", "as of this `DATE` (default: now)")
	f.StringVar(&p.known, "known", "", "by what was known on this `DATE` (default: everything that is known)")
}

// explainPlace says where a model may be asked. What --contracts names is laid over the contracts in force, those of the config file included.
func (a *app) explainPlace(ctx context.Context, p placeFlags, drafted, asJSON bool) error {
	err := moments(map[string]string{"--as-of": p.asOf, "--known": p.known}, map[string]*time.Time{"--as-of": &p.q.AsOf, "--known": &p.q.Known})
	if err != nil {
		return err
	}
	if drafted {
		if p.q.Drafts, err = drafts(a.contracts); err != nil {
			return err
		}
	}
	if drafted {
		if a.contracts, err = a.configured("contracts"); err != nil {
			return err
		}
	}
	return a.asking(ctx, func(who asker) error {
		answer, err := who.Placement(ctx, p.q)
		if err != nil {
			return err
		}
		if asJSON {
			return a.json(answer)
		}
		return a.print(a.answerText(answer))
	})
}

// explainPast says how recorded calls went: those of a run, or of a step of it, named RUN or RUN/STEP, or the one of a decision.
func (a *app) explainPast(ctx context.Context, name string, asJSON bool) error {
	q := api.PastQuery{ID: name}
	if !strings.HasPrefix(name, "dec_") {
		run, step, two := strings.Cut(name, "/")
		q = api.PastQuery{Run: decouple.RunID(run)}
		if n, err := strconv.Atoi(step); two && (err != nil || n < 1) {
			return decouple.Errorf(decouple.Invalid, "a past call is named RUN/STEP, such as k3j2h1/4, or by its decision; %q is neither", printable(name))
		} else {
			q.Step = n
		}
	}
	return a.asking(ctx, func(who asker) error {
		list, err := who.Past(ctx, q)
		if err != nil {
			return err
		}
		if asJSON {
			return a.json(list)
		}
		var b strings.Builder
		for i, p := range list {
			if i > 0 {
				b.WriteString("\n")
			}
			b.WriteString(a.pastText(p))
		}
		return a.print(b.String())
	})
}

// pastText is a recorded call with its verdicts.
func (a *app) pastText(p api.PastCall) string {
	var b strings.Builder
	c := p.Call
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, printable(text))
		}
	}
	line("call", c.ID)
	line("asked for", c.Asked)
	var who []string
	for _, w := range []struct{ name, value string }{{"tenant", string(c.Tenant)}, {"key", c.Key}, {"team", c.Team}, {"agent", string(c.Agent)}, {"run", string(c.Run)}, {"class", c.Class}, {"labels", strings.Join(c.Labels, ",")}} {
		if w.value != "" {
			who = append(who, w.name+" "+w.value)
		}
	}
	line("by", strings.Join(who, ", "))
	line("began", c.At.Local().Format("2006-01-02 15:04:05.000")+", took "+millis(c.Took))
	line("used", fmt.Sprintf("%d tokens in (%d cached), %d out, %s USD", c.Usage.TokensIn, c.Usage.Cached, c.Usage.TokensOut, c.Usage.Cost))
	line("ended", string(c.Outcome))
	line("answered", c.Endpoint)
	policy := c.Policy
	if policy == "" {
		policy = "none"
	}
	line("contracts", "version "+policy+" decided")
	line("signed off", strings.Join(c.Signed, ", "))
	for _, r := range c.Refused {
		line("refused", r.Endpoint+" ("+strings.Join(r.Clauses, ", ")+")")
	}
	b.WriteString("\nworked out again from the contracts as of then, by what was known then:\n")
	b.WriteString(a.answerText(p.Answer))
	return b.String()
}

// answerText is an answer for people.
func (a *app) answerText(w whatif.Answer) string {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, printable(text))
		}
	}
	line("verdict", string(w.Verdict))
	line("needs", strings.Join(w.Needs, ", "))
	line("as of", day(w.AsOf)+", by what was known on "+day(w.Known))
	chosen := w.Chosen
	if chosen == "" {
		chosen = "nowhere"
	}
	line("goes to", chosen)
	var rows [][]string
	var states []string
	for _, e := range w.Endpoints {
		state := map[bool]string{true: "chosen", false: string(e.Verdict)}[e.Name == w.Chosen]
		if e.Verdict == "deny" {
			state = "denied"
		} else if e.Verdict == "allow" {
			state = "ok"
		}
		rows = append(rows, []string{e.Name, dashed(e.Cloud), dashed(e.Region), string(e.Verdict), fmt.Sprintf("%.3f", e.Score), strings.Join(e.Needs, ","), clip(printable(e.Why), 110)})
		states = append(states, state)
	}
	if len(rows) > 0 {
		b.WriteString("\n" + a.tinted(table("ENDPOINT CLOUD REGION VERDICT SCORE NEEDS WHY", rows), states))
	}
	b.WriteString(clauseText(w.Clauses))
	return b.String()
}
