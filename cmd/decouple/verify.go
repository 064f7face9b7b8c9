package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal/sqlite"
)

func newVerify(a *app) *cobra.Command {
	var accept, asJSON bool
	c := &cobra.Command{
		Use: "verify", Short: "Check every event, row and blob of the journal", Args: noArgs,
		Long: `Reads the whole journal, also while it is in use, and checks every event, row and blob. Exit code 1 and a line for
each fault say that something is not as it was written. Runs that nobody and nothing will ever wake, those that wait for
somebody to resume them among them, are named with what to do about them.

--accept makes what is there the new truth when acknowledged events are missing, as after a disk lost the end of
the write-ahead log; what is missing stays lost.`,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			if accept {
				head, err := sqlite.Accept(c.Context(), dir)
				if err != nil {
					return err
				}
				a.say("accepted: the journal in %s ends at event %d", dir, head)
			}
			r, err := sqlite.Verify(c.Context(), dir)
			if err != nil {
				return err
			}
			var stuck []engine.Standing
			if len(r.Faults) == 0 {
				if stuck, err = stuckIn(c.Context(), dir); err != nil {
					return err
				}
			}
			return a.verified(dir, verdict{r, append([]engine.Standing{}, stuck...)}, asJSON)
		},
	}
	c.Flags().BoolVar(&accept, "accept", false, "go on without acknowledged events that are missing, then verify")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// verdict is what verify says of a journal.
type verdict struct {
	sqlite.Report
	Stuck []engine.Standing `json:"stuck"` // runs that nobody will wake
}

// stuckIn lists the runs of a data folder that nobody will wake.
func stuckIn(ctx context.Context, dir string) ([]engine.Standing, error) {
	log, err := sqlite.OpenReader(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return engine.Stuck(ctx, log)
}

// verified writes what was found, and is an error if anything is wrong.
func (a *app) verified(dir string, r verdict, asJSON bool) error {
	if asJSON {
		if r.Faults == nil {
			r.Faults = []string{}
		}
		if r.Notes == nil {
			r.Notes = []string{}
		}
		if err := a.json(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Faults {
			a.say("fault: %s", printable(f))
		}
		for _, n := range r.Notes {
			a.say("note: %s", printable(n))
		}
		for _, s := range r.Stuck {
			a.say("note: nobody will wake run %s (%s): it waits for %s, since %s; %s", s.Run, s.Agent, printable(s.For), elapsed(time.Since(s.Since)), s.Remedy)
		}
	}
	if len(r.Faults) > 0 {
		return decouple.Errorf(decouple.Internal, "the journal in %s has %s", dir, count(len(r.Faults), "fault"))
	}
	if asJSON {
		return nil
	}
	return a.print("ok: " + count(r.Events, "event") + ", " + count(r.Runs, "run") + ", " + count(r.Blobs, "blob") + ", " + megabytes(r.Bytes) + "\n")
}
