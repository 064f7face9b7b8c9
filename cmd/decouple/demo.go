package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/research"
	"decouple.dev/decouple/sim"
)

// demoDocs are what the agents of the demonstration read.
//
//go:embed demodocs
var demoDocs embed.FS

const (
	demoQuestion = "How is a signing key made, rotated, withdrawn and audited?"
	demoTime     = 20 * time.Second // after which it is given up
	demoSpeed    = 8                // times as fast as the clouds are
	demoAlias    = "demo"
	demoFails    = "azure" // the cloud that fails
	demoAfter    = 4       // answers of the model before it does
)

func newDemo(a *app) *cobra.Command {
	return group("demo", "Show something, on this machine alone", newDemoClouds(a))
}

func newDemoClouds(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "clouds", Short: "Run agents over three simulated clouds while one of them fails", Args: noArgs,
		Long: `Starts three simulated clouds on this machine (OpenAI, Azure OpenAI and Amazon Bedrock, each with its vendor's own interface, times and prices), has agents research a
question over all three, and lets Azure fail in the middle: its streams are cut, then nobody answers. It prints what failed over where, what each
cloud's own invoice says beside our accounts, and that the report is whole. It needs no key and no network, takes less than 20 seconds and leaves nothing behind.`,
		Example: "  decouple demo clouds",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), demoTime)
			defer cancel()
			out, err := a.demoClouds(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(out)
			}
			return a.print(out.text(a))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// demoResult is what the demonstration showed.
type demoResult struct {
	Label     string         `json:"label"`
	Failed    string         `json:"failed_cloud"`
	Calls     int            `json:"calls"`
	Failovers []demoFailover `json:"failovers"`
	Clouds    []demoCloudRow `json:"clouds"`
	Agents    int            `json:"agents"` // all of which came to their end
	Findings  int            `json:"findings"`
	Cause     decouple.Cause `json:"cause"`
	Seconds   float64        `json:"seconds"`
	Report    string         `json:"report"`
}

// demoFailover is one attempt that failed, and who answered instead.
type demoFailover struct {
	At       time.Time          `json:"at"`
	Agent    decouple.AgentName `json:"agent"`
	From     catalog.EndpointID `json:"from"`
	How      route.Kind         `json:"how"`
	To       catalog.EndpointID `json:"to"`
	Decision string             `json:"decision"`
}

// demoCloudRow is what one cloud did and cost.
type demoCloudRow struct {
	Cloud   string         `json:"cloud"`
	URL     string         `json:"url"`
	Model   string         `json:"model"`
	Answers int            `json:"answers"`
	Failed  int            `json:"failed"`
	Ours    decouple.Money `json:"our_nano_usd"`
	Theirs  decouple.Money `json:"invoice_nano_usd"`
	Unseen  int64          `json:"unseen,omitempty"` // calls whose end was not seen: ours is an upper bound for them
}

// demoClouds runs the demonstration. All it makes is gone when it returns.
func (a *app) demoClouds(ctx context.Context) (_ *demoResult, err error) {
	dir, err := os.MkdirTemp("", "decouple-demo-")
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "there is no temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	docs, err := unpack(dir)
	if err != nil {
		return nil, err
	}
	clouds, err := demoServers()
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	var failed error
	work.Go(func() { failed = clouds.Run(serving) })
	defer func() {
		stop()
		work.Wait()
		err = errors.Join(err, failed)
	}()
	m, err := demoModels(clouds)
	if err != nil {
		return nil, err
	}
	a.say("three simulated clouds are up, %s; asking: %s", sim.Label, demoQuestion)
	began := time.Now()
	out, err := a.demoRun(ctx, clouds, plan{doing: "decouple demo clouds", model: m}, dir, docs)
	if err == nil {
		out.Seconds = time.Since(began).Seconds()
	}
	return out, err
}

// unpack writes the documents into a folder.
func unpack(dir string) (string, error) {
	docs := filepath.Join(dir, "docs")
	list, err := fs.Sub(demoDocs, "demodocs")
	if err == nil {
		err = os.CopyFS(docs, list)
	}
	if err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the documents cannot be written: %w", err)
	}
	return docs, nil
}

// demoServers are the three clouds.
func demoServers() (*sim.Servers, error) {
	setup, err := sim.ReadSetup("clouds.yaml", sim.DefaultClouds)
	if err != nil {
		return nil, err
	}
	setup.Clouds = slices.DeleteFunc(setup.Clouds, func(c sim.Cloud) bool { return !slices.Contains([]string{"openai", demoFails, "aws-claude"}, c.Name) })
	for i := range setup.Clouds {
		setup.Clouds[i].Models = setup.Clouds[i].Models[:1]
	}
	setup.Speed = demoSpeed
	return sim.Listen(setup, "127.0.0.1:0")
}

// demoModels is a gateway's configuration over the three clouds, with an alias that asks them in turn.
func demoModels(s *sim.Servers) (*models, error) {
	key := credential.NewSecret("demo")
	var accounts []credential.Account
	for _, p := range s.Table() {
		acc := credential.Account{Name: p.Name, Provider: string(p.Vendor), URL: p.URL, Regions: p.Regions[:1], Models: map[catalog.ModelID]string{p.Models[0].ID: p.Models[0].Name}, From: "the demonstration"}
		acc.Auth = credential.Auth{Method: credential.Bearer, Key: key}
		if p.Vendor == sim.Azure {
			acc.Auth.Method = credential.APIKey
		}
		accounts = append(accounts, acc)
	}
	cat, err := catalog.Embedded()
	if err != nil {
		return nil, err
	}
	list := credential.Endpoints(cat, accounts)
	if cat, err = cat.WithEndpoints(list); err != nil {
		return nil, err
	}
	alias := catalog.Alias{Name: demoAlias, Strategy: catalog.Weighted}
	for _, e := range list {
		alias.Targets = append(alias.Targets, catalog.Target{Endpoint: e.ID, Weight: 1})
	}
	if cat, err = cat.With(catalog.Overlay{Aliases: map[string]catalog.Alias{demoAlias: alias}}); err != nil {
		return nil, err
	}
	m := &models{cfg: gateway.Config{Catalog: cat, Accounts: accounts}}
	m.Model = demoAlias
	return m, nil
}

// demoRun has the agents work while a cloud fails.
func (a *app) demoRun(ctx context.Context, clouds *sim.Servers, p plan, dir, docs string) (*demoResult, error) {
	v := newView(a.err)
	var answers atomic.Int64
	p.watch = func(s engine.Signal) {
		v.watch(s)
		if s.Kind == engine.SignalStep && answers.Add(1) == demoAfter {
			a.say("%s %s fails now: first its streams are cut, then nobody answers there", a.err.paint(red, "note:"), demoFails)
			a.demoFail(clouds)
		}
	}
	here := *a
	here.storeURL, here.env = "", func(string) string { return "" } // whatever journal is configured, this one is thrown away
	o, err := here.own(ctx, filepath.Join(dir, "data"), p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.close() }()
	src, err := a.sources(ctx, o.notes, o.store.Head, []string{docs})
	if err != nil {
		return nil, err
	}
	id, err := o.engine.Start(ctx, engine.Start{Agent: research.Lead, Task: decouple.Task{Question: demoQuestion}, Sources: src})
	if err != nil {
		return nil, err
	}
	if state, err := o.engine.Drive(ctx, decouple.LocalTenant, id); err != nil && !state.Ended() {
		return nil, err
	}
	r, err := o.reports.Report(ctx, decouple.LocalTenant, id)
	if err != nil {
		return nil, err
	}
	out := &demoResult{Label: sim.Label, Failed: demoFails, Findings: len(r.Findings), Cause: r.Cause, Report: r.Markdown(docs)}
	out.failovers(o.gateway.Recent(decouple.LocalTenant, 1000))
	runs, err := o.store.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, Root: id})
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		if run.Cause.Kind != decouple.CauseDone {
			return nil, endError(run.Cause, len(r.Findings), run.ID)
		}
	}
	out.Agents = len(runs)
	rows, err := o.ledger.Usage(ctx, ledger.Query{By: []ledger.By{ledger.ByEndpoint}})
	if err != nil {
		return nil, err
	}
	out.bills(clouds, rows, o.gateway.Recent(decouple.LocalTenant, 1000))
	return out, endError(r.Cause, len(r.Findings), id)
}

// demoFail lets a cloud fail: its streams are cut for a moment, and then it is gone.
func (a *app) demoFail(clouds *sim.Servers) {
	list, err := sim.ReadFault([]byte("[{name: cuts, kind: cut, after: 5, cloud: " + demoFails + ", to: 6s}, {name: gone, kind: outage, cloud: " + demoFails + ", from: 6s}]"))
	if err == nil {
		_, err = clouds.SetFaults(list, true)
	}
	if err != nil {
		a.say("note: the cloud cannot be made to fail: %v", err)
	}
}

// failovers are the attempts that failed, the earliest first.
func (d *demoResult) failovers(list []gateway.Record) {
	d.Calls, d.Failovers = len(list), []demoFailover{}
	for _, r := range slices.Backward(list) {
		for _, t := range r.Attempts {
			if t.Endpoint != r.Chosen && t.Outcome != route.OK {
				d.Failovers = append(d.Failovers, demoFailover{t.Began, r.Agent, t.Endpoint, t.Outcome, r.Chosen, r.ID})
			}
		}
	}
	slices.SortFunc(d.Failovers, func(x, y demoFailover) int { return x.At.Compare(y.At) })
}

// bills are what each cloud did, beside its own invoice.
func (d *demoResult) bills(clouds *sim.Servers, rows []ledger.Row, list []gateway.Record) {
	for _, p := range clouds.Table() {
		c := demoCloudRow{Cloud: p.Name, URL: p.URL, Model: p.Models[0].Name}
		of := func(id string) bool { return strings.HasPrefix(id, p.Name+"/") }
		for _, r := range rows {
			if of(r.Group.Endpoint) {
				c.Ours, c.Unseen = c.Ours+r.Usage.Cost, c.Unseen+r.Unseen
			}
		}
		for _, line := range clouds.Invoice() {
			if line.Cloud == p.Name {
				c.Theirs += line.Amount
			}
		}
		for _, r := range list {
			for _, t := range r.Attempts {
				switch {
				case !of(string(t.Endpoint)):
				case t.Outcome == route.OK:
					c.Answers++
				default:
					c.Failed++
				}
			}
		}
		d.Clouds = append(d.Clouds, c)
	}
}

// text is the demonstration for people.
func (d *demoResult) text(a *app) string {
	var b bytes.Buffer
	b.WriteString(d.Report)
	fmt.Fprintf(&b, "\n---\n\n%s failed in the middle. What failed over where:\n\n", d.Failed)
	var rows [][]string
	for _, f := range d.Failovers {
		rows = append(rows, []string{f.At.Local().Format("15:04:05.000"), string(f.Agent), string(f.From), string(f.How), string(f.To)})
	}
	b.WriteString(table("AT AGENT FAILED_AT HOW ANSWERED_BY", rows))
	b.WriteString("\nWhat each cloud did, our accounts beside its own invoice:\n\n")
	rows = nil
	for _, c := range d.Clouds {
		note := ""
		if c.Unseen > 0 {
			note = fmt.Sprintf("the end of %s was not seen: counted at the most that it can cost", count(int(c.Unseen), "call"))
		}
		rows = append(rows, []string{c.Cloud, c.Model, fmt.Sprint(c.Answers), fmt.Sprint(c.Failed), c.Ours.String(), c.Theirs.String(), note})
	}
	b.WriteString(table("CLOUD MODEL ANSWERS FAILED OURS_USD INVOICE_USD NOTE", rows))
	fmt.Fprintf(&b, "\nThe report is whole: %s, each with its quotation; %s came to their end, with %s in %.1f s.\nSimulated: %s.\n",
		count(d.Findings, "finding"), count(d.Agents, "agent"), count(d.Calls, "model call"), d.Seconds, d.Label)
	return b.String()
}
