// Command gateway answers "what does the gateway cost?": it measures bin/decouple as a gateway beside a bare httputil.ReverseProxy, against an upstream stand-in, all on this machine in one
// run, the rounds of one and the other interleaved so that noise hits all alike.
//
//	make build && go run ./bench/gateway                  # all, in less than eight minutes
//	go run ./bench/gateway -only saturation,latency -json
//
// The stand-in, the reverse proxy and the gateway are processes of their own on 127.0.0.1; the load comes from this one. Processor time is that of the proxy's process. Whatever is started
// is ended by its pid.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// options are the flags.
type options struct {
	decouple string
	only     string
	quick    bool
	json     bool
	rounds   int
	streams  int // of truncation
	open     int // streams open at once
	soakFor  time.Duration
}

func main() {
	if role := os.Getenv("BENCH_ROLE"); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.decouple, "decouple", "bin/decouple serve", "the `COMMAND` that starts the gateway; empty measures the reverse proxy alone")
	flag.StringVar(&o.only, "only", "", "some of "+strings.Join(scenarioNames(), ",")+" (default: all)")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the time: to see that it works, not for figures")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each measurement is repeated")
	flag.IntVar(&o.streams, "streams", 100_000, "streams that are looked at for truncation")
	flag.IntVar(&o.open, "open", 5000, "streams that are open at once")
	flag.DurationVar(&o.soakFor, "soak", 10*time.Minute, "how long the mixed load of soak lasts, which runs only where -only names it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute+o.soakFor)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

// scenario measures one thing.
type scenario struct {
	name string
	run  func(context.Context, *bench) error
}

func scenarios() []scenario {
	return []scenario{
		{"saturation", saturation}, {"latency", latency}, {"streams", chunkLatency}, {"open", openStreams}, {"overload", overload}, {"failover", failover}, {"truncation", truncation}, {"soak", soak},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// bench is what the scenarios work with.
type bench struct {
	options
	client *transport.Client
	up     *child
	doors  []*door // direct, reverse proxy, gateway
	rows   []row
}

// door is a way to the stand-in.
type door struct {
	name   string
	proc   *child
	target *transport.Target
	low    []transport.Field // of a caller of low priority
	high   []transport.Field
	path   func(model string) string // where a request for a model goes
}

// row is a line of the result.
type row struct {
	Scenario string  `json:"scenario"`
	Figure   string  `json:"figure"`
	Door     string  `json:"door"`
	Value    float64 `json:"value"`
	Least    float64 `json:"least,omitempty"`
	Most     float64 `json:"most,omitempty"`
	Unit     string  `json:"unit"`
	Bar      string  `json:"bar,omitempty"`
	Met      *bool   `json:"met,omitempty"`
}

const (
	direct = "direct"
	proxy  = "reverse proxy"
	ours   = "decouple"
)

func run(ctx context.Context, o options) (err error) {
	chosen := slices.DeleteFunc(scenarios(), func(s scenario) bool { return s.name == "soak" })
	if o.only != "" {
		names := strings.Split(o.only, ",")
		for _, n := range names {
			if !slices.Contains(scenarioNames(), n) {
				return fmt.Errorf("there is no measurement %q: there are %s", n, strings.Join(scenarioNames(), ", "))
			}
		}
		chosen = slices.DeleteFunc(scenarios(), func(s scenario) bool { return !slices.Contains(names, s.name) })
	}
	if o.quick {
		o.rounds, o.streams, o.open = 1, o.streams/20, o.open/10
	}
	b := &bench{options: o, client: transport.New(transport.Config{MaxIdle: 8192, FirstByte: time.Minute})}
	defer b.client.CloseIdle()
	dir, err := os.MkdirTemp("", "bench-gateway")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	defer func() {
		for _, d := range b.doors {
			d.proc.stop()
		}
	}()
	if err := b.start(ctx, dir); err != nil {
		return err
	}
	for _, s := range chosen {
		began := time.Now()
		if e := s.run(ctx, b); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, e))
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, time.Since(began).Round(time.Second))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(err, b.print())
}

// print writes the table, or JSON.
func (b *bench) print() error {
	if b.json {
		return json.NewEncoder(os.Stdout).Encode(b.rows)
	}
	fmt.Printf("%-11s %-44s %-14s %12s %25s  %-34s %s\n", "", "figure", "by", "median", "least-most", "bar", "")
	for _, r := range b.rows {
		spread, met := "", ""
		if r.Least != r.Most {
			spread = fmt.Sprintf("%s-%s", figure(r.Least), figure(r.Most))
		}
		if r.Met != nil {
			met = map[bool]string{true: "met", false: "MISSED"}[*r.Met]
		}
		fmt.Printf("%-11s %-44s %-14s %12s %25s  %-34s %s\n", r.Scenario, r.Figure, r.Door, figure(r.Value)+" "+r.Unit, spread, r.Bar, met)
	}
	return nil
}

func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10 && v > -10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// add takes a figure, the median of its rounds.
func (b *bench) add(r row, rounds []float64) float64 {
	if len(rounds) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(rounds))
	r.Value, r.Least, r.Most = s[len(s)/2], s[0], s[len(s)-1]
	b.rows = append(b.rows, r)
	return r.Value
}

// judge adds a figure of the gateway that has a bar.
func (b *bench) judge(r row, value float64, met bool) {
	r.Door, r.Value, r.Met = ours, value, &met
	b.rows = append(b.rows, r)
}

// door is one by its name, or nil.
func (b *bench) door(name string) *door {
	for _, d := range b.doors {
		if d.name == name {
			return d
		}
	}
	return nil
}

// secs is a time of measuring.
func (b *bench) secs(n float64) time.Duration {
	if b.quick {
		n /= 5
	}
	return time.Duration(n * float64(time.Second))
}
