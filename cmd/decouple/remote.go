package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
)

// address is the server that is to be worked with, empty if it is the data folder.
func (a *app) address() string {
	if a.server != "" || a.folder != "" || a.storeURL != "" {
		return a.server // what is said goes before the environment
	}
	return a.env("DECOUPLE_SERVER")
}

// remote is a client of the server that is named, nil if none is.
func (a *app) remote() (*api.Client, error) {
	address := a.address()
	switch {
	case address == "":
		return nil, nil
	case a.folder != "" || a.storeURL != "":
		return nil, decouple.Errorf(decouple.Invalid, "--server has its own journal: leave out --data and --store")
	}
	key := a.env("DECOUPLE_KEY")
	if a.keyFile != "" {
		b, err := os.ReadFile(a.keyFile)
		if err != nil {
			return nil, decouple.Errorf(decouple.NotFound, "--key-file: %w", err)
		}
		key = string(b)
	}
	return api.Connect(address, strings.TrimSpace(key), nil)
}

// serving is a client of the server that is named, or of a process that owns the data folder and works on every run; nil if there is none.
func (a *app) serving(ctx context.Context) (*api.Client, error) {
	if there, err := a.remote(); err != nil || there != nil {
		return there, err
	}
	if url, err := a.shared(); err != nil || url != "" {
		return nil, err
	}
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	there, err := api.Dial(ctx, dir)
	if err != nil {
		return nil, nil // nobody is there, or whoever is will be named when the folder is opened
	}
	about, err := there.About(ctx)
	if err != nil || !about.Serves {
		return nil, there.Close()
	}
	return there, nil
}

// follow shows a run that a server works on until it has ended, and writes its report. Whoever interrupts leaves the run to the server.
func (a *app) follow(ctx context.Context, there *api.Client, d driven) error {
	v := newView(a.err)
	if v.s.live {
		go v.run()
	}
	seen := remoteView{view: v, usage: map[decouple.RunID]decouple.Usage{}, steps: map[decouple.RunID]int{}, agents: map[decouple.RunID]decouple.AgentName{}}
	err := there.Watch(ctx, d.id, 0, seen.event, seen.live)
	if v.s.live {
		v.finish()
	}
	if ctx.Err() != nil {
		return decouple.Errorf(decouple.Canceled, "interrupted; run %s goes on at the server, follow it with: %s", d.id, a.command(append([]string{"runs", "resume", string(d.id)}, append(a.where(), d.output.again()...)...)...))
	}
	if err != nil {
		return err
	}
	return a.reportThere(context.WithoutCancel(ctx), there, d)
}

// where are the flags that name what this command works with.
func (a *app) where() []string {
	switch {
	case a.server != "":
		return []string{"--server", a.server}
	case a.folder != "":
		return []string{"--data", a.folder}
	}
	return nil
}

// reportThere writes the report that a server has.
func (a *app) reportThere(ctx context.Context, there *api.Client, d driven) error {
	if d.plain {
		return a.answer(ctx, there, d)
	}
	text, cause, found, err := there.Report(ctx, d.id, d.output.asJSON)
	if err != nil {
		return err
	}
	return a.deliver(text, cause, found, d)
}

// remoteView shows what a server's events say, in the way that the engine's signals are shown.
type remoteView struct {
	view   *view
	usage  map[decouple.RunID]decouple.Usage
	steps  map[decouple.RunID]int
	agents map[decouple.RunID]decouple.AgentName
}

// event shows an event.
func (r remoteView) event(e decouple.Event) error {
	if e.Stream.Kind != decouple.StreamRun {
		return nil
	}
	id := decouple.RunID(e.Stream.ID)
	var p struct {
		glimpse
		Run decouple.Run `json:"run"`
	}
	_ = json.Unmarshal(e.Payload, &p) // what is kept as a blob shows less
	s := engine.Signal{Time: e.Time, Run: id, Label: p.Label}
	switch e.Kind {
	case "run.created":
		s.Kind, r.agents[id] = engine.SignalCreated, p.Run.Agent
	case "model.answered":
		s.Kind = engine.SignalStep
		r.steps[id]++
		r.usage[id] = r.usage[id].Add(p.Usage)
	case ended:
		s.Kind, s.Cause = engine.SignalEnded, p.Cause
	default:
		return nil
	}
	s.Agent, s.Step, s.Usage = r.agents[id], r.steps[id], r.usage[id]
	r.view.watch(s)
	return nil
}

// live shows what goes on beside the events.
func (r remoteView) live(l api.Live) {
	switch l.Kind {
	case engine.SignalCreated, engine.SignalStep, engine.SignalEnded:
		return // the events say so too
	}
	if _, known := r.agents[l.Run]; known {
		r.view.watch(engine.Signal{Kind: l.Kind, Time: l.Time, Run: l.Run, Agent: l.Agent, Label: l.Label, Step: l.Step, Text: l.Text})
	}
}
