package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/journal"
)

func newRuns(a *app) *cobra.Command {
	return group("runs", "Start, see, follow, explain, cancel, resume and fork runs",
		newRunsStart(a), newRunsLs(a), newRunsShow(a), newRunsTail(a), newRunsWhy(a), newRunsEffects(a), newRunsCancel(a), newRunsResume(a), newRunsFork(a), newRunsSignal(a))
}

// owned says whether a process owns the data folder now, or a node serves the shared or remote journal.
func (a *app) owned(ctx context.Context) bool {
	if url, err := a.shared(); a.address() != "" || err == nil && url != "" {
		log, err := a.readLog(ctx)
		if err != nil {
			return false
		}
		defer func() { _ = log.Close() }()
		nodes, err := log.Nodes(ctx)
		return err == nil && slices.ContainsFunc(nodes, func(n journal.Node) bool { return n.Alive })
	}
	dir, err := a.dir()
	if err != nil {
		return false
	}
	_, err = api.Dial(ctx, dir)
	return err == nil
}

// findRun gives the run that a name stands for: its id, or the beginning of the id of exactly one tree.
func findRun(ctx context.Context, log journal.Reader, name string) (journal.RunRow, error) {
	var none journal.RunRow
	if rows, err := log.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, ID: decouple.RunID(name)}); err != nil || len(rows) == 1 && name != "" {
		return append(rows, none)[0], err
	}
	root, below, isChild := strings.Cut(name, ".")
	roots, err := log.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, Roots: true})
	if err != nil {
		return none, err
	}
	hits := slices.DeleteFunc(roots, func(r journal.RunRow) bool { return !strings.HasPrefix(string(r.ID), root) })
	if i := slices.IndexFunc(hits, func(r journal.RunRow) bool { return string(r.ID) == root }); i >= 0 {
		hits = hits[i : i+1]
	}
	switch {
	case len(hits) == 0 || root == "":
		return none, decouple.Errorf(decouple.NotFound, "there is no run %s; `decouple runs ls` lists them", name)
	case len(hits) > 1:
		return none, decouple.Errorf(decouple.Invalid, "%s begins the ids of %d runs: give more of it", name, len(hits))
	case !isChild:
		return hits[0], nil
	}
	rows, err := log.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, ID: hits[0].ID + "." + decouple.RunID(below)})
	if err == nil && len(rows) == 0 {
		err = decouple.Errorf(decouple.NotFound, "there is no run %s; `decouple runs show %s` lists its tree", name, hits[0].ID)
	}
	if err != nil {
		return none, err
	}
	return rows[0], nil
}

// tree gives the rows of a tree in its order.
func tree(ctx context.Context, log journal.Reader, root decouple.RunID) ([]journal.RunRow, error) {
	rows, err := log.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, Root: root})
	slices.SortFunc(rows, func(x, y journal.RunRow) int { return x.ID.Compare(y.ID) })
	return rows, err
}

// standing is a run's status in words; left says that it is at work in no process.
func standing(r journal.RunRow, left bool) string {
	switch {
	case r.Status == decouple.RunEnded:
		return string(r.Cause.Kind)
	case r.Status == decouple.RunParked:
		return waiting(r.Wait.Kind)
	case left:
		return "interrupted"
	}
	return string(r.Status)
}

// took is how long a run has lasted up to now: to its end, or, if no process is at work on it, to the last that is known of it.
func took(r journal.RunRow, left bool) time.Duration {
	if r.Status == decouple.RunEnded || left {
		return r.Updated.Sub(r.Created)
	}
	return time.Since(r.Created)
}

// resumeCommand is the command that goes on with a run.
func (a *app) resumeCommand(id decouple.RunID, more ...string) string {
	args := []string{"runs", "resume", string(id)}
	if a.folder != "" {
		args = append(args, "--data", a.folder)
	}
	return a.command(append(args, more...)...)
}
