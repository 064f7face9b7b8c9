package main

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

// TestKeysOverNodes asks two nodes of a shared journal the same at once, under one key: it is done once, and both give the same answer.
func TestKeysOverNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	nodes := []*owner{onShared(t, url, ""), onShared(t, url, "")}
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}
	talk, err := nodes[0].engine.OpenSession(t.Context(), engine.NewSession{Agent: "lead", By: by})
	if err != nil {
		t.Fatal(err)
	}
	type ask func(ctx context.Context, e *engine.Engine, what string) (string, error)
	for key, do := range map[string]ask{
		"start": func(ctx context.Context, e *engine.Engine, what string) (string, error) {
			id, err := e.Start(ctx, engine.Start{Agent: "lead", Task: decouple.Task{Question: what}, Freeze: true, Key: "start", By: by})
			return string(id), err
		},
		"say": func(ctx context.Context, e *engine.Engine, what string) (string, error) {
			return e.Say(ctx, engine.Input{Session: talk, Text: what, ID: "say", By: by})
		},
		"signal": func(ctx context.Context, e *engine.Engine, what string) (string, error) {
			body, err := json.Marshal(what)
			if err != nil {
				return "", err
			}
			return "", e.Deliver(ctx, engine.Delivery{Run: talk, Name: "go", Body: body, ID: "signal", By: by})
		},
	} {
		var work sync.WaitGroup
		var got [8]string
		var errs [8]error
		for i := range got {
			work.Go(func() { got[i], errs[i] = do(t.Context(), nodes[i%2].engine, "this") })
		}
		work.Wait()
		for i := range got {
			if errs[i] != nil || got[i] != got[0] {
				t.Errorf("%s: %q, %v and %q, %v", key, got[0], errs[0], got[i], errs[i])
			}
		}
		if _, err := do(t.Context(), nodes[1].engine, "that"); decouple.KindOf(err) != decouple.Conflict {
			t.Errorf("%s: another request with the same key: %v", key, err)
		}
	}
	rows, err := nodes[0].store.Runs(t.Context(), journal.RunFilter{Tenant: decouple.LocalTenant})
	if err != nil || len(rows) != 2 {
		t.Errorf("there are %d runs, %v", len(rows), err)
	}
	if inbox, err := nodes[1].store.Inbox(t.Context(), decouple.LocalTenant, talk); err != nil || len(inbox) != 2 {
		t.Errorf("the inbox is %v, %v", inbox, err)
	}
}
