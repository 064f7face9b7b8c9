package main

import (
	"context"
	"errors"
	"time"

	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/telemetry"
)

// flushTime is how long a collector may take for what is left when the owner closes.
const flushTime = 5 * time.Second

// audience is all who are told of a call.
type audience []gateway.Watcher

// Called tells them.
func (w audience) Called(f *gateway.Facts) {
	for _, one := range w {
		one.Called(f)
	}
}

// sends reads from the environment where traces and metrics are sent. What is wrong there costs only them.
func (a *app) sends() telemetry.Settings {
	s, err := telemetry.FromEnv(a.env)
	if err != nil {
		a.say("note: traces and metrics are not sent: %v", err)
	}
	s.Version = version
	return s
}

// watch has calls counted where somebody may read it, and sent where the environment says.
func (o *owner) watch(cfg *gateway.Config, p plan) error {
	var all audience
	if p.serves {
		o.counts = telemetry.NewCounts(cfg.Catalog)
		all = append(all, o.counts)
	}
	if !o.sends.Off() {
		o.sends.Instance = string(p.node.ID)
		var err error
		if o.exporter, err = telemetry.Open(context.Background(), o.sends, cfg.Catalog, p.log); err != nil {
			return err
		}
		cfg.Trace = o.exporter
		all = append(all, o.exporter)
	}
	if len(all) > 0 {
		cfg.Watch = all
	}
	return nil
}

// flush sends what is left.
func (o *owner) flush() error {
	if o.exporter == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := o.exporter.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // a collector that does not answer is no fault of what was done here
}
