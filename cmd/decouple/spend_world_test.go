package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/sim"
)

// spendClouds are the ten clouds as they ship, and Gemini's own interface: with their own prices, but quick and without quotas, so that what fails are the faults of the test.
func spendClouds(t *testing.T, seed uint64) sim.Setup {
	t.Helper()
	setup, err := sim.ReadSetup("clouds.yaml", sim.DefaultClouds)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	lite, ok := cat.PriceOf(catalog.Endpoint{Provider: "gemini", Name: "gemini-2.5-flash-lite"}, time.Now())
	if !ok {
		t.Fatal("gemini-2.5-flash-lite has no price")
	}
	setup.Clouds = append(setup.Clouds, sim.Cloud{
		Name: "gemini", Vendor: sim.Gemini, Regions: []string{"global"}, Cache: sim.Cache{Kind: sim.CacheAuto, Min: 1024, Keep: time.Minute},
		Models: []sim.Offer{{ID: "gemini-2.5-flash-lite", Name: "gemini-2.5-flash-lite", MaxOut: 65536, Prices: []catalog.Price{lite}}},
	})
	for i := range setup.Clouds {
		c := &setup.Clouds[i]
		c.First, c.Rate, c.Loaded, c.Prefill = sim.Spread{P50: 4 * time.Millisecond, P95: 12 * time.Millisecond}, 900, sim.Loaded{}, 0
		c.Concurrent, c.Queue, c.Limits = 0, 0, sim.Limits{}
	}
	setup.Seed = seed
	setup.Answers = spendAnswers
	return setup
}

// spendFile is the config file of a node: an account at each cloud, and aliases of every strategy.
const spendFile = `gateway:
  discover: false
  patience: {connect: 2s, first_token: 1500ms, between_tokens: 700ms, whole: 4s, call: 10s, wait: 500ms}
  accounts:
    - {name: openai, provider: openai, url: "{openai}/v1", regions: [us], key: env:SPEND_KEY, models: {gpt-5.4: "", gpt-5.4-mini: "", text-embedding-3-small: ""}}
    - {name: azure, provider: azure, url: "{azure}/regions/{region}", regions: [eastus2, swedencentral], key: env:SPEND_KEY, models: {gpt-5.4: gpt-5.4}}
    - {name: mantle, provider: bedrock, url: "{aws-mantle}/regions/{region}/v1", regions: [us-east-2], key: env:SPEND_KEY, models: {gpt-5.4: openai.gpt-5.4}}
    - {name: claude, provider: bedrock, url: "{aws-claude}", regions: [us-east-1, eu-central-1], access_key_id: AKIASPEND, secret: env:SPEND_KEY, models: {sonnet-4.6: ""}}
    - {name: nova, provider: bedrock, url: "{aws-fast}", regions: [us-east-1], key: env:SPEND_KEY, models: {nova-pro: ""}}
    - {name: anthropic, provider: anthropic, url: "{anthropic}", regions: [us], key: env:SPEND_KEY, models: {sonnet-4.6: "", haiku-4.5: ""}}
    - {name: vertex, provider: vertex, url: "{vertex}/v1/projects/{project}/locations/{region}", project: p, regions: [us-central1], key: env:SPEND_KEY, models: {gemini-2.5-flash: "", gemini-2.5-pro: ""}}
    - {name: gemini, provider: gemini, url: "{gemini}", key: env:SPEND_KEY, models: {gemini-2.5-flash-lite: ""}}
    - {name: cerebras, provider: cerebras, url: "{cerebras}/v1", key: env:SPEND_KEY, tier: paid, models: {gpt-oss-120b: ""}}
    - {name: groq, provider: groq, url: "{groq}/openai/v1", key: env:SPEND_KEY, models: {gpt-oss-120b: ""}}
  catalog:
    endpoints:
      openai/us/gpt-5.4: &room {limits: {rpm: 1M, tpm: 1000M}}
      openai/us/gpt-5.4-mini: *room
      openai/us/text-embedding-3-small: *room
      mantle/us-east-2/gpt-5.4: *room
      claude/us-east-1/sonnet-4.6: *room
      claude/eu-central-1/sonnet-4.6: *room
      nova/us-east-1/nova-pro: *room
      anthropic/us/sonnet-4.6: *room
      anthropic/us/haiku-4.5: *room
      cerebras/gpt-oss-120b: *room
      groq/gpt-oss-120b: *room
      openai/us/gpt-5.4/responses: {provider: openai, account: openai, region: us, model: gpt-5.4, name: gpt-5.4, format: openai.responses, url: "{openai}/v1"}
    aliases:
      any: {strategy: balanced, targets: [gpt-5.4, sonnet-4.6, gemini-2.5-pro, gpt-oss-120b, nova-pro]}
      hedged: {strategy: fastest, hedge: 15ms, targets: [gpt-5.4, gemini-2.5-flash, haiku-4.5, gpt-oss-120b]}
      small: {strategy: cheapest, targets: [gpt-oss-120b, gemini-2.5-flash-lite, gpt-5.4-mini]}
      checked: {strategy: cascade, check: no_refusal, targets: [gpt-oss-120b, haiku-4.5, gpt-5.4]}
      spread: {strategy: weighted, targets: [{model: gpt-5.4, weight: 2}, {model: sonnet-4.6, weight: 1}, {model: gemini-2.5-flash, weight: 1}]}
`

// spending is clouds, the nodes that call them, and what their callers saw.
type spending struct {
	t       *testing.T
	seed    uint64
	dir     string
	config  string
	clouds  *sim.Servers
	args    []string // of serve
	nodes   []*spender
	key     string   // without a limit
	tight   []string // with a budget each: one for every round of the load
	tightID []string
	round   atomic.Int64
	kills   atomic.Int64
	saidMu  sync.Mutex
	said    []string
	seenMu  sync.Mutex
	seen    []sight
	after   func(sight) // a call
}

// spender is a node of it, killed and started again.
type spender struct {
	*spending
	name string
	n    int // starts
	cmd  *exec.Cmd
	at   atomic.Pointer[string] // where it answers; nil while it is down
}

func newSpending(t *testing.T, seed uint64, args ...string) *spending {
	t.Helper()
	s := &spending{t: t, seed: seed, dir: t.TempDir(), args: args}
	var err error
	if s.clouds, err = sim.Listen(spendClouds(t, seed), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.clouds.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	text := spendFile
	for _, p := range s.clouds.Places() {
		text = strings.ReplaceAll(text, "{"+p.Cloud.Name+"}", p.URL)
	}
	s.config = filepath.Join(s.dir, "decouple.yaml")
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range s.nodes {
			n.down(os.Kill)
		}
		if t.Failed() {
			s.saidMu.Lock()
			defer s.saidMu.Unlock()
			t.Logf("the nodes said, at last:\n%s", strings.Join(s.said[max(0, len(s.said)-30):], "\n"))
		}
	})
	return s
}

// node adds a node and starts it.
func (s *spending) node(name string) *spender {
	s.t.Helper()
	n := &spender{spending: s, name: name}
	s.nodes = append(s.nodes, n)
	if err := n.up(); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// folder is a node's data.
func (n *spender) folder() string { return filepath.Join(n.dir, n.name) }

// up starts a node and waits until it answers.
func (n *spender) up() error {
	n.n++
	name := fmt.Sprintf("%s%d", n.name, n.n)
	c := exec.Command("decouple", append([]string{"serve", "--data", n.folder(), "--node", name, "--listen", "127.0.0.1:0"}, n.args...)...)
	c.Env = append(os.Environ(), "DECOUPLE_CONFIG="+n.config, "SPEND_KEY=sim", "OPENAI_API_KEY=", "OPENAI_BASE_URL=")
	errs, err := c.StderrPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	n.cmd = c
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			n.saidMu.Lock()
			n.said = append(n.said, name+": "+lines.Text())
			n.saidMu.Unlock()
			if strings.HasPrefix(lines.Text(), "panic: ") || strings.HasPrefix(lines.Text(), "fatal error: ") || strings.Contains(lines.Text(), "DATA RACE") {
				n.t.Errorf("node %s: %s", name, lines.Text())
			}
			if at, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "answering at "); ok {
				ready <- at
			}
		}
		_, _ = io.Copy(io.Discard, errs)
		close(ready)
	}()
	at, ok := <-ready
	if !ok {
		return decouple.Errorf(decouple.Unavailable, "node %s does not answer", name)
	}
	n.at.Store(&at)
	return nil
}

// down ends a node.
func (n *spender) down(how os.Signal) {
	n.at.Store(nil)
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(how)
		_ = n.cmd.Wait()
		n.cmd = nil
	}
}

// trouble kills nodes and starts them again until ctx ends.
func (s *spending) trouble(ctx context.Context, every time.Duration) {
	chance := rand.New(rand.NewPCG(s.seed, 1<<33))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every/2 + time.Duration(chance.Int64N(int64(every)))):
		}
		n := s.nodes[chance.IntN(len(s.nodes))]
		n.down(os.Kill)
		s.kills.Add(1)
		<-time.After(time.Duration(chance.IntN(200)) * time.Millisecond)
		if err := n.up(); err != nil {
			s.t.Error(err)
			return
		}
	}
}

// sicken gives the clouds other faults again and again until ctx ends, and then none.
func (s *spending) sicken(ctx context.Context) {
	chance := rand.New(rand.NewPCG(s.seed, 1<<34))
	var names []string
	for _, p := range s.clouds.Places() {
		names = append(names, p.Cloud.Name)
	}
	defer s.clouds.ClearFaults("")
	for {
		var list []sim.Fault
		for range 1 + chance.IntN(5) {
			f := spendFault(chance)
			f.Cloud = names[chance.IntN(len(names))]
			list = append(list, f)
		}
		if _, err := s.clouds.SetFaults(list, true); err != nil {
			s.t.Error(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(100+chance.IntN(600)) * time.Millisecond):
		}
	}
}

// spendFault is anything that goes wrong with a cloud.
func spendFault(chance *rand.Rand) sim.Fault {
	modes := func(list ...string) string { return list[chance.IntN(len(list))] }
	f := sim.Fault{Share: 0.2 + 0.6*chance.Float64(), After: int64(chance.IntN(30))}
	pause := time.Duration(50+chance.IntN(1500)) * time.Millisecond
	switch chance.IntN(14) {
	case 0:
		f.Kind, f.RetryAfter = sim.Storm, time.Duration(chance.IntN(300)-100)*time.Millisecond
	case 1:
		f.Kind, f.Mode = sim.Outage, modes("500", "503", "reset")
	case 2:
		f.Kind = sim.Overload
	case 3:
		f.Kind = sim.Wrong400
	case 4:
		f.Kind, f.For, f.Mode = sim.StallFirst, pause, modes("", "headers")
	case 5:
		f.Kind, f.For = sim.Stall, pause
	case 6:
		f.Kind, f.Factor = sim.Slow, 1+4*chance.Float64()
	case 7, 8:
		f.Kind, f.Mode = sim.Cut, modes("", "abrupt", "clean")
	case 9:
		f.Kind = sim.Reset
	case 10, 11:
		f.Kind = sim.ErrorIn200
	case 12:
		f.Kind = sim.Empty
	default:
		f.Kind = sim.Truncated
	}
	return f
}

// lineMarks are what ends an answer at each door, by which a caller knows that it is whole.
var lineMarks = map[string][]byte{
	"chat": []byte("data: [DONE]"), "messages": []byte(`"type":"message_stop"`), "responses": []byte(`"type":"response.completed"`), "generate": []byte(`"finishReason"`), "converse": []byte("metadata"),
}

// wholeAnswer says whether a caller has read an answer to its end.
func wholeAnswer(w wish, body []byte, clean bool) bool {
	if !w.stream {
		return clean
	}
	mark := lineMarks[w.door]
	return bytes.Contains(body, mark) || w.door == "responses" && bytes.Contains(body, []byte(`"type":"response.incomplete"`))
}
