package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// workers is how many runs a node has at work at once, unless it is told otherwise.
const workers = 64

func newServe(a *app) *cobra.Command {
	var m modelFlags
	var p plan
	var l listen
	var agents, site string
	c := &cobra.Command{
		Use: "serve", Short: "Run a node: work on all runs of the journal until it is stopped",
		Long: `Runs a node. It works on every run of the journal that may execute at its site, starts what agents
have scheduled, and takes up the runs of nodes that are gone. Many nodes share one journal with
--store postgres://...; give each a data folder of its own for its index of notes. Without --store
the journal is SQLite in the data folder, and there is one node.

It answers programs and other commands (--server) at --listen, over HTTP, each with a key; the first key is made and shown at the first
start, and others with ` + "`decouple keys create`" + `. An address that other machines can reach needs --tls-cert and --tls-key.

SIGINT or SIGTERM stops it: what it is doing is handed to the other nodes at once.`,
		Example: `  decouple serve
  decouple serve --store postgres://decouple@db/decouple --site aws/eu-central-1,gpu --data /var/lib/decouple`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if p.node.Site, err = parseSite(site); err != nil {
				return err
			}
			if p.lease < time.Second {
				return decouple.Errorf(decouple.Invalid, "--lease must be at least 1s: a shorter one would be lost by a pause of the garbage collector")
			}
			if p.model, err = a.choose(m, decouple.Price{}); err != nil {
				return err
			}
			l.given = c.Flags().Changed("listen")
			if err := l.check(); err != nil {
				return err
			}
			p.agents, p.doing, p.serves, p.node.Version, p.log = agents, "decouple serve", true, version, slog.New(plainLog{a})
			return a.serveNode(c.Context(), p, l)
		},
	}
	f := c.Flags()
	m.add(f)
	l.add(f)
	f.StringSliceVar(&p.http, "allow-host", nil, "`HOST` that the tools http.* may reach, such as api.example.com or *.example.com; may be repeated (default: none)")
	f.DurationVar(&p.wait, "http-timeout", 30*time.Second, "how long the tools http.* wait for an answer")
	f.BoolVar(&p.intern, "allow-private", false, "let the hosts of --allow-host be at addresses of this machine and of private networks")
	f.StringVar(&p.history, "history", "", "`FILE` that is written every claim and every acknowledged commit, for a checker")
	_ = f.MarkHidden("history")
	f.StringVar(&agents, "agents", "", "`FOLDER` of agent files, which go before the embedded ones")
	f.StringVar((*string)(&p.node.ID), "node", "", "`NAME` of this node (default: random)")
	f.StringVar(&site, "site", "", "where this node is: `CLOUD[/REGION][,LABEL]...`; it takes only runs that may execute there")
	f.IntVar(&p.node.Workers, "workers", workers, "runs at work at once")
	f.DurationVar(&p.lease, "lease", 5*time.Second, "how long the other nodes wait for this one when it is silent (PostgreSQL)")
	return c
}

// parseSite reads "cloud/region,label,label".
func parseSite(s string) (decouple.Site, error) {
	if s == "" {
		return decouple.Site{}, nil
	}
	parts := strings.Split(s, ",")
	cloud, region, _ := strings.Cut(parts[0], "/")
	for _, w := range append([]string{cloud}, parts[1:]...) {
		if strings.TrimSpace(w) == "" {
			return decouple.Site{}, decouple.Errorf(decouple.Invalid, "--site: %q is not CLOUD[/REGION][,LABEL]..., for example aws/eu-central-1,gpu", s)
		}
	}
	return decouple.Site{Cloud: cloud, Region: region, Labels: parts[1:]}, nil
}

// serveNode runs a node until ctx ends.
func (a *app) serveNode(ctx context.Context, p plan, l listen) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	o, err := a.own(ctx, dir, p)
	if err != nil {
		return err
	}
	if err := o.takeUp(ctx); err != nil {
		return errors.Join(err, o.close())
	}
	if p.node.ID, err = o.node(ctx); err != nil {
		return errors.Join(err, o.close())
	}
	a.say("node %s is at work; %s; stop it with Ctrl-C", p.node.ID, p.model.Describe())
	stop, err := a.listen(ctx, o, p, l)
	if err != nil {
		return errors.Join(err, o.close())
	}
	looking, enough := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { o.takeOver(looking, p.log) })
	err = o.engine.Serve(ctx)
	a.say("stopping: what was under way is handed over")
	enough()
	work.Wait()
	return errors.Join(err, stop(), o.close())
}

// takeUp makes what an earlier process of this data folder left ready again. In a shared journal the nodes do so for each other.
func (o *owner) takeUp(ctx context.Context) error {
	rows, err := o.store.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{decouple.RunRunning}})
	if err != nil {
		return err
	}
	seen := map[decouple.RunID]bool{}
	for _, r := range rows {
		if seen[r.Root] || r.Epoch == o.store.Epoch() {
			continue
		}
		seen[r.Root] = true
		if _, err := o.engine.Resume(ctx, r.Tenant, r.Root); err != nil {
			return err
		}
	}
	return nil
}
