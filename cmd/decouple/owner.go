package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/builtin"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/telemetry"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/research"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/tool"
)

// indexFile is the index of notes in a data folder: a view of the journal, which may be deleted.
const indexFile = "notes.db"

// usageFolder is where a data folder keeps what its gateway has spent and the journal does not have yet.
const usageFolder = "usage"

// me is who acts on the command line.
var me = decouple.Actor{Kind: decouple.ActorPerson, ID: "local"}

// plan says what an owner works with. The zero value has the builtin model and the embedded agents.
type plan struct {
	doing   string  // the command, for whoever finds the folder in use
	model   *models // nil is the builtin one
	agents  string  // a folder of agent files that go before the embedded ones
	watch   func(engine.Signal)
	node    journal.NodeSpec // of a node
	lease   time.Duration
	http    []string      // hosts that agents may reach
	intern  bool          // at addresses of private networks too
	wait    time.Duration // for their answers
	history string        // a file that is written what the journal acknowledges, for a checker
	serves  bool          // it drives all runs, and looks after those of other nodes that are gone
	log     *slog.Logger
}

// owner is the process that writes a data folder, with all rooms plugged together.
type owner struct {
	dir       string
	store     journal.Store
	library   *knowledge.Library
	notes     *knowledge.Base // of the local tenant
	engine    *engine.Engine
	agents    *registry.Set
	reports   *research.Collector
	hub       *api.Hub
	ledger    *ledger.Ledger
	seals     *sealer
	gateway   *gateway.Gateway
	catalog   *catalog.Catalog // of the gateway
	contracts *registry.Contracts
	desk      *api.Desk
	drills    *drill.Desk
	sends     telemetry.Settings
	counts    *telemetry.Counts   // nil counts nothing
	exporter  *telemetry.Exporter // nil sends nothing
	stop      context.CancelFunc
	served    chan error
}

// own opens a data folder for writing and lets other terminals reach this process. Conflict says that another process owns it.
func (a *app) own(ctx context.Context, dir string, p plan) (*owner, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the data folder cannot be made: %w; choose another one with --data", err)
	}
	store, err := a.openStore(ctx, dir, p)
	if err != nil {
		return nil, err
	}
	if p.history != "" {
		f, err := os.OpenFile(p.history, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, errors.Join(decouple.Errorf(decouple.Invalid, "--history: %w", err), store.Close())
		}
		store = &recorded{Store: store, out: f}
	}
	o := &owner{dir: dir, store: store, sends: a.sends(), seals: a.sealer(dir)}
	if o.contracts, err = a.contractsOf(store); err != nil {
		return nil, errors.Join(err, o.close())
	}
	if err := o.plug(ctx, p); err != nil {
		return nil, errors.Join(err, o.close())
	}
	if o.drills, err = a.drillDesk(ctx, o, p); err != nil {
		return nil, errors.Join(err, o.close())
	}
	if url, err := a.shared(); err == nil && url == "" { // the writers of a shared journal need nobody to write for them
		a.serve(ctx, o, p)
	}
	return o, nil
}

// plug puts the rooms together.
func (o *owner) plug(ctx context.Context, p plan) error {
	var err error
	o.library = knowledge.NewLibrary(baseConfig(o.dir, o.store, o.store))
	if o.notes, err = o.library.Of(ctx, decouple.LocalTenant); err != nil {
		return err
	}
	o.reports = research.NewCollector(o.store, o.library)
	tools := append(tool.Notes(o.library), research.NewAdd(o.library, o.reports), research.NewList(o.reports))
	tools = append(tools, tool.Memory(o.store)...)
	tools = append(tools, tool.HTTP(tool.HTTPConfig{Allow: p.http, Private: p.intern, Timeout: p.wait})...)
	if o.agents, err = loadAgents(p.agents, tools); err != nil {
		return err
	}
	o.hub = api.NewHub(o.store)
	if wire, ok := o.store.(journal.Wire); ok {
		o.hub.Join(wire)
	}
	watch := o.hub.Signal
	if p.watch != nil {
		watch = func(s engine.Signal) { p.watch(s); o.hub.Signal(s) }
	}
	answers, err := o.models(ctx, p)
	if err != nil {
		return err
	}
	o.engine, err = engine.New(engine.Config{
		Store: o.store, Model: answers, Tools: tools, Agents: o.agents.Agents(), Workers: p.node.Workers, Watch: watch, Actor: me, Log: p.log,
		Contracts: siteContracts{o.contracts, o.catalog, p.node.ID, p.node.Site},
	})
	return err
}

// drainTime is how long calls under way may go on when the owner closes.
const drainTime = 10 * time.Second

// models opens the gateway, with the ledger of what it spends.
func (o *owner) models(ctx context.Context, p plan) (engine.Model, error) {
	if p.model == nil {
		cat, err := catalog.Embedded()
		if err != nil {
			return nil, err
		}
		p.model = &models{cfg: gateway.Config{Catalog: cat}}
		p.model.Agents.Model = builtin.Name
	}
	var err error
	if o.ledger, err = ledger.Open(ledger.Config{Dir: filepath.Join(o.dir, usageFolder), Store: o.store, Log: p.log}); err != nil {
		return nil, err
	}
	cfg := p.model.cfg
	o.catalog = cfg.Catalog
	cfg.Ledger, cfg.Store, cfg.Policies = o.ledger, &gateway.JournalResponses{Store: o.store}, policies{o.contracts}
	o.desk = api.NewDesk(api.DeskConfig{Contracts: o.contracts, Catalog: o.catalog, Journal: o.store, Ledger: o.ledger})
	cfg.Site, cfg.Shares = p.node.Site, newLiveShares(ctx, o)
	if cfg.Node, err = o.node(ctx); err != nil {
		return nil, err
	}
	if p.serves {
		cfg.Keys = &doorKeys{keys: registry.NewKeys(o.store), seals: o.seals}
	}
	if err := o.watch(&cfg, p); err != nil {
		return nil, err
	}
	if o.gateway, err = gateway.New(cfg); err != nil {
		return nil, err
	}
	if o.counts != nil {
		o.counts.Show(o.gateway)
	}
	agents := p.model.Agents
	agents.Gateway = o.gateway
	return agents, nil
}

// node is the name under which this process holds its lease.
func (o *owner) node(ctx context.Context) (decouple.NodeID, error) {
	nodes, err := o.store.Nodes(ctx)
	for _, n := range nodes {
		if n.Epoch == o.store.Epoch() {
			return n.ID, err
		}
	}
	return "", err
}

// takeOver makes the responses in the background that nodes had begun which are not alive any more, until ctx ends.
func (o *owner) takeOver(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(takeOverEvery)
	defer tick.Stop()
	for {
		alive := map[decouple.NodeID]bool{}
		nodes, err := o.store.Nodes(ctx)
		for _, n := range nodes {
			alive[n.ID] = alive[n.ID] || n.Alive
		}
		if err == nil {
			err = o.gateway.Takeover(ctx, func(n decouple.NodeID) bool { return alive[n] })
		}
		if err != nil && ctx.Err() == nil && log != nil {
			log.Warn("responses in the background could not be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// takeOverEvery is how often a node looks for responses that nobody makes any more.
const takeOverEvery = 5 * time.Second

// baseConfig is how notes are opened; without a writer they can only be read.
func baseConfig(dir string, from knowledge.Source, to knowledge.Writer) knowledge.Config {
	cfg := knowledge.Config{Source: from, Writer: to, Index: filepath.Join(dir, indexFile)}
	if self, err := os.Executable(); err == nil {
		cfg.PDF = []string{self, pdfCommand}
	}
	return cfg
}

// loadAgents reads the embedded agents and those of a folder, if it is not empty, which go before them.
func loadAgents(folder string, tools []decouple.Tool) (*registry.Set, error) {
	sources := []registry.Source{{Name: "embedded", FS: research.Agents()}}
	if folder != "" {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return nil, decouple.Errorf(decouple.NotFound, "--agents: there is no folder %s", folder)
		}
		sources = append(sources, registry.Source{Name: folder, FS: os.DirFS(folder)})
	}
	names := []string{decouple.ToolSleep, decouple.ToolSignal, decouple.ToolResultRead} // the engine's own
	for _, t := range tools {
		names = append(names, t.Spec().Name)
	}
	return registry.Load(names, sources...)
}

// server is the owner as other programs reach it: through its socket by whoever may open that.
func (o *owner) server(p plan) *api.Server {
	return &api.Server{
		Engine: o.engine, Journal: o.store, Library: o.library, Reports: o.reports, Agents: o.agents, Hub: o.hub, Doing: p.doing, Serves: p.serves, Node: p.node.ID, Version: version, Log: p.log, Models: o.gateway, Drills: o.drills, Ledger: o.ledger, Seal: o.seals.make, Desk: o.desk, Risk: o.risk, Parity: evaluator{o},
		Local: registry.Principal{Tenant: decouple.LocalTenant, Actor: me, Role: registry.RoleOwner},
	}
}

// serve answers other terminals until the owner closes. A folder that cannot hold a socket costs only that.
func (a *app) serve(ctx context.Context, o *owner, p plan) {
	l, err := api.Listen(ctx, o.dir)
	if err != nil {
		a.say("note: other terminals cannot reach this process: %v", err)
		return
	}
	// A process that was interrupted still parks its runs: it goes on answering until it closes.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	o.stop, o.served = stop, make(chan error, 1)
	s := o.server(p)
	go func() {
		var work sync.WaitGroup
		work.Go(func() { _ = o.hub.Run(serving) })
		err := s.Run(serving, l)
		work.Wait()
		o.served <- err
	}()
}

// close ends the socket, the notes and the journal, in this order.
func (o *owner) close() error {
	var errs []error
	if o.stop != nil {
		o.stop()
		errs = append(errs, <-o.served)
	}
	if o.drills != nil {
		o.drills.Close()
	}
	if o.gateway != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		errs = append(errs, o.gateway.Close(ctx))
		cancel()
	}
	errs = append(errs, o.flush())
	if o.ledger != nil {
		errs = append(errs, o.ledger.Close())
	}
	if o.library != nil {
		errs = append(errs, o.library.Close())
	}
	return errors.Join(append(errs, o.store.Close())...)
}

// notes is what commands ask of notes: those of a data folder, or of a server.
type notes interface {
	Add(ctx context.Context, r knowledge.Request) (knowledge.Summary, error)
	List(ctx context.Context, src decouple.Sources) ([]knowledge.Note, error)
	Get(ctx context.Context, idOrPath string) (knowledge.Note, error)
	Text(ctx context.Context, idOrPath string) (string, error)
	Outline(ctx context.Context, src decouple.Sources, args decouple.OutlineArgs) (decouple.Outline, error)
	Search(ctx context.Context, src decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error)
}

// reader is a process that only reads a data folder, whoever writes it, or a server.
type reader struct {
	log
	library *knowledge.Library // nil of a server
	notes   notes              // of the local tenant
}

// read opens a data folder for reading. NotFound says that there is no journal yet.
func (a *app) read(ctx context.Context) (*reader, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	from, err := a.readLog(ctx)
	if err != nil {
		return nil, err
	}
	if there, ok := from.(*api.Client); ok {
		return &reader{log: there, notes: there}, nil
	}
	library := knowledge.NewLibrary(baseConfig(dir, from, nil))
	base, err := library.Of(ctx, decouple.LocalTenant)
	if err != nil {
		return nil, errors.Join(err, from.Close())
	}
	return &reader{from, library, base}, nil
}

func (r *reader) close() error {
	if r.library == nil {
		return r.log.Close()
	}
	return errors.Join(r.library.Close(), r.log.Close())
}

// reach runs one of two functions: theirs with the server that is named or the process that owns the data folder, or, if there is none, ours with this process
// as its owner.
func (a *app) reach(ctx context.Context, doing string, theirs func(*api.Client) error, ours func(*owner) error) error {
	return a.reachWith(ctx, func() (plan, error) { return plan{doing: doing}, nil }, theirs, ours)
}

// reachWith is reach with a plan that is made only if this process is to be the owner.
func (a *app) reachWith(ctx context.Context, planned func() (plan, error), theirs func(*api.Client) error, ours func(*owner) error) error {
	if there, err := a.remote(); err != nil || there != nil {
		if err != nil {
			return err
		}
		return errors.Join(theirs(there), there.Close())
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	if url, err := a.shared(); err != nil || url != "" {
		if err != nil {
			return err
		}
		p, err := planned()
		if err != nil {
			return err
		}
		o, err := a.own(ctx, dir, p)
		if err != nil {
			return err
		}
		return errors.Join(ours(o), o.close())
	}
	for try := 0; ; try++ {
		client, err := api.Dial(ctx, dir)
		if err == nil {
			return theirs(client)
		}
		if decouple.KindOf(err) != decouple.NotFound {
			return err
		}
		p, err := planned()
		if err != nil {
			return err
		}
		o, err := a.own(ctx, dir, p)
		if decouple.KindOf(err) == decouple.Conflict && try < tries && pause(ctx) {
			continue // another process has just become the owner, or is about to end
		}
		if err != nil {
			return err
		}
		return errors.Join(ours(o), o.close())
	}
}

// verbs is what commands ask of runs: of the engine here, or of a server.
type verbs interface {
	Decide(ctx context.Context, d engine.Decision) error
	Resolve(ctx context.Context, r engine.Resolution) error
	Deliver(ctx context.Context, d engine.Delivery) error
	Fork(ctx context.Context, f engine.Fork) (decouple.RunID, error)
	OpenSession(ctx context.Context, n engine.NewSession) (decouple.RunID, error)
	Say(ctx context.Context, in engine.Input) (string, error)
}

// act does what is the same here and there.
func (a *app) act(ctx context.Context, doing string, do func(verbs) error) error {
	return a.reach(ctx, doing, func(c *api.Client) error { return do(c) }, func(o *owner) error { return do(o.engine) })
}

// tries bounds how often an owner that does not answer is looked for again, with a pause before each.
const tries = 20

// pause waits a little; false is that ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}
