package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/research"
)

// output says where a report goes and as what.
type output struct {
	file   string
	asJSON bool
}

func (o *output) add(f *pflag.FlagSet) {
	f.StringVar(&o.file, "out", "", "`FILE` for the report instead of standard output; it appears whole or not at all")
	f.BoolVar(&o.asJSON, "json", false, "write the report as JSON")
}

// check finds out before any work whether the file can be written.
func (o *output) check() error {
	if o.file == "" || o.file == "-" {
		o.file = ""
		return nil
	}
	abs, err := filepath.Abs(o.file)
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "--out: the path %s cannot be made absolute: %w", o.file, err)
	}
	o.file = abs
	if info, err := os.Stat(o.file); err == nil && info.IsDir() {
		return decouple.Errorf(decouple.Invalid, "--out: %s is a folder: name a file in it", o.file)
	}
	probe, err := os.CreateTemp(filepath.Dir(o.file), ".decouple-*")
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "--out: no file can be made in %s: %w", filepath.Dir(o.file), err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// again is how the flags are given once more.
func (o *output) again() []string {
	var args []string
	if o.file != "" {
		args = append(args, "--out", o.file)
	}
	if o.asJSON {
		args = append(args, "--json")
	}
	return args
}

// driven is a run that is to be driven to its report.
type driven struct {
	id     decouple.RunID
	output output
	again  []string // flags that a command that resumes it needs
	plain  bool     // it ends with an answer, not with the report of a research
}

// drive works on a run until it has ended, writes its report, and gives the error that its cause stands for. An interrupted run is parked, and the error says
// how to go on with it.
func (a *app) drive(ctx context.Context, o *owner, v *view, d driven) error {
	if v.s.live {
		go v.run()
	}
	state, err := o.engine.Drive(ctx, decouple.LocalTenant, d.id)
	if v.s.live {
		v.finish()
	}
	if !state.Ended() && ctx.Err() != nil {
		args := append([]string{"runs", "resume", string(d.id), "--data", o.dir}, d.again...)
		return decouple.Errorf(decouple.Canceled, "interrupted; run %s is parked, go on with: %s", d.id, a.command(append(args, d.output.again()...)...))
	}
	if err != nil && !state.Ended() {
		return err
	}
	// The run has ended: its report is written even if somebody interrupts now.
	if d.plain {
		return a.answer(context.WithoutCancel(ctx), o.store, d)
	}
	return a.report(context.WithoutCancel(ctx), o.reports, state.Run.Sources, d)
}

// report writes the report of a run that has ended, and gives the error that its cause stands for.
func (a *app) report(ctx context.Context, from *research.Collector, src decouple.Sources, d driven) error {
	r, err := from.Report(ctx, decouple.LocalTenant, d.id)
	if err != nil {
		return err
	}
	folder := ""
	if len(src.Paths) == 1 {
		folder = src.Paths[0]
	}
	text := []byte(r.Markdown(folder))
	if d.output.asJSON {
		if text, err = r.JSON(); err != nil {
			return err
		}
	}
	return a.deliver(text, r.Cause, len(r.Findings), d)
}

// deliver writes a report to where it goes, and gives the error that the cause stands for.
func (a *app) deliver(text []byte, cause decouple.Cause, found int, d driven) error {
	ended := endError(cause, found, d.id)
	if cause.Kind != decouple.CauseDone && cause.Kind != decouple.CauseExhausted && found == 0 {
		return ended // it found nothing and was kept from looking: that is no report
	}
	if d.output.file == "" {
		return errors.Join(a.print(string(text)), ended)
	}
	if err := replace(d.output.file, text); err != nil {
		return err
	}
	a.say("report written to %s", d.output.file)
	return ended
}

// endError is the error that the cause of a run's end stands for, nil if it is done.
func endError(cause decouple.Cause, found int, id decouple.RunID) error {
	kind := decouple.Internal
	switch cause.Kind {
	case decouple.CauseDone:
		return nil
	case decouple.CauseExhausted:
		return decouple.Errorf(decouple.Exhausted, "run %s came to the end of its envelope (%s); what it found until then is written", id, cause.Why)
	case decouple.CauseDeadline:
		kind = decouple.Deadline
	case decouple.CauseCanceled:
		kind = decouple.Canceled
	case decouple.CauseUnknown:
		kind = decouple.Unknown
	case decouple.CauseFailed:
		if cause.Err != "" {
			kind = cause.Err
		}
	}
	held := ""
	if found > 0 {
		held = "; the report holds what it found until then"
	}
	return decouple.Errorf(kind, "run %s ended: %s (%s)%s", id, cause.Kind, cause.Why, held)
}

// replace writes a file so that it is there whole or as it was before.
func replace(path string, text []byte) error {
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), ".decouple-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // less what the umask takes
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "--out: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return decouple.Errorf(decouple.Unavailable, "--out: the report cannot be written: %w", err)
	}
	return nil
}

// reportAgain writes the report of a run that has ended, which needs no ownership of the data folder.
func (a *app) reportAgain(ctx context.Context, s engine.State, d driven) error {
	r, err := a.read(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = r.close() }()
	if d.plain {
		return a.answer(ctx, r, d)
	}
	return a.report(ctx, research.NewCollector(r, r.library), s.Run.Sources, d)
}
