package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/journal"
)

func newRunsTail(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "tail ID", Short: "Follow the events of a run's tree until it has ended",
		Long: "Writes the events of a run's tree, from the first on, one line each, and waits for more until the run has ended. It works from a\nsecond terminal while the run is going on.",
		Args: exactly("the id of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			log, err := a.readLog(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = log.Close() }()
			r, err := findRun(c.Context(), log, args[0])
			if err != nil {
				return err
			}
			return a.tail(c.Context(), log, r.ID, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object for each event")
	return c
}

// errEnded stops following.
var errEnded = errors.New("the run has ended")

// ended is the event that ends a run.
const ended decouple.EventKind = "run.ended"

func (a *app) tail(ctx context.Context, log journal.Reader, id decouple.RunID, asJSON bool) error {
	show := func(e decouple.Event) error {
		line := eventLine(e)
		if asJSON {
			b, err := json.Marshal(api.EventOf(e))
			if err != nil {
				return err
			}
			line = string(b)
		}
		return a.print(line + "\n")
	}
	if there, ok := log.(*api.Client); ok {
		return there.Watch(ctx, id, 0, show, nil)
	}
	err := log.Follow(ctx, 0, func(e decouple.Event) error {
		in := e.Stream.ID == string(id) || strings.HasPrefix(e.Stream.ID, string(id)+".")
		if e.Stream.Kind != decouple.StreamRun || e.Stream.Tenant != decouple.LocalTenant || !in {
			return nil
		}
		if err := show(e); err != nil {
			return err
		}
		if e.Kind == ended && e.Stream.ID == string(id) {
			return errEnded
		}
		return nil
	})
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// glimpse is what a line says of an event's payload; what a kind does not have stays empty.
type glimpse struct {
	Label   string           `json:"label"`
	Message decouple.Message `json:"message"`
	Usage   decouple.Usage   `json:"usage"`
	Cause   decouple.Cause   `json:"cause"`
	Why     string           `json:"why"`
	Spawned []struct {
		Child decouple.RunID `json:"child"`
	} `json:"spawned"`
}

// eventLine is an event for people.
func eventLine(e decouple.Event) string {
	var g glimpse
	_ = json.Unmarshal(e.Payload, &g) // a payload that is kept as a blob, or of another shape, says less
	var parts []string
	for _, c := range g.Message.Calls() {
		parts = append(parts, c.Name)
	}
	for _, c := range g.Spawned {
		parts = append(parts, "spawns "+string(c.Child))
	}
	if n := g.Usage.TokensIn + g.Usage.TokensOut; n > 0 {
		parts = append(parts, short(n)+" tokens")
	}
	for _, s := range []string{g.Label, string(g.Cause.Kind), g.Cause.Why, g.Why} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return fmt.Sprintf("%s %-16s %-16s %s", e.Time.Local().Format("15:04:05.000"), e.Stream.ID, e.Kind, clip(printable(strings.Join(parts, ", ")), 160))
}
