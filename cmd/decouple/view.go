package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// view shows a run tree while it is at work: on a terminal as a tree that is drawn again and again, elsewhere as a line for each event that matters.
type view struct {
	s    *screen
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	nodes map[decouple.RunID]*node
}

// node is an agent in the tree.
type node struct {
	id           decouple.RunID
	agent        decouple.AgentName
	label        string
	doing        string
	steps        int
	usage        decouple.Usage
	began, ended time.Time
	cause        decouple.CauseKind
}

func newView(s *screen) *view {
	return &view{s: s, nodes: map[decouple.RunID]*node{}, stop: make(chan struct{}), done: make(chan struct{})}
}

// fill shows what an earlier process has left.
func (v *view) fill(rows []journal.RunRow) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range rows {
		n := &node{id: r.ID, agent: r.Agent, label: printable(r.Label), doing: string(r.Status), steps: r.Steps, usage: r.Usage, began: r.Created, cause: r.Cause.Kind}
		if r.Status == decouple.RunEnded {
			n.ended = r.Updated
		}
		v.nodes[r.ID] = n
	}
}

// watch takes a signal of the engine.
func (v *view) watch(g engine.Signal) {
	v.mu.Lock()
	n := v.nodes[g.Run]
	fresh := n == nil
	if fresh {
		n = &node{id: g.Run, agent: g.Agent, label: printable(g.Label), began: g.Time}
		v.nodes[g.Run] = n
	}
	n.steps, n.usage = max(n.steps, g.Step), later(n.usage, g.Usage)
	switch g.Kind {
	case engine.SignalCreated:
		n.doing = "ready"
	case engine.SignalWorking:
		n.doing = "works"
	case engine.SignalCalling:
		n.doing = "asks the model"
	case engine.SignalToken:
		n.doing = "reads the answer"
	case engine.SignalTool:
		n.doing = g.Text
	case engine.SignalParked:
		n.doing = waiting(decouple.WaitKind(g.Text))
	case engine.SignalEnded:
		n.ended, n.cause, n.doing = g.Time, g.Cause.Kind, ""
	}
	line := ""
	if !v.s.live {
		line = n.line(g, fresh)
	}
	v.mu.Unlock()
	if line != "" {
		fmt.Fprintln(v.s, line)
	}
}

// later is the usage that knows more: a signal may come without any.
func later(a, b decouple.Usage) decouple.Usage {
	if b.TokensIn+b.TokensOut < a.TokensIn+a.TokensOut {
		return a
	}
	return b
}

// waiting says in words what a parked run waits for.
func waiting(k decouple.WaitKind) string {
	switch k {
	case decouple.WaitChild:
		return "waits for agents"
	case decouple.WaitInterrupted:
		return "interrupted"
	case decouple.WaitNone:
		return "waits"
	}
	return "waits for " + string(k)
}

// line is what is said of a signal where there is no terminal; most are not worth a line.
func (n *node) line(g engine.Signal, fresh bool) string {
	who := string(n.id) + " " + string(n.agent)
	switch {
	case g.Kind == engine.SignalEnded && g.Cause.Why != "":
		return fmt.Sprintf("%s %s (%s): %s", who, n.cause, oneLine(printable(g.Cause.Why)), n.figures(g.Time))
	case g.Kind == engine.SignalEnded:
		return fmt.Sprintf("%s %s: %s", who, n.cause, n.figures(g.Time))
	case fresh:
		return who + " begins: " + n.label
	}
	return ""
}

// figures are a node's steps, tokens, money and time.
func (n *node) figures(now time.Time) string {
	end := n.ended
	if end.IsZero() {
		end = now
	}
	return fmt.Sprintf("%s, %s tokens, %s USD, %s", count(n.steps, "step"), short(n.usage.TokensIn+n.usage.TokensOut), n.usage.Cost, elapsed(end.Sub(n.began)))
}

// run draws the tree until it is told to finish.
func (v *view) run() {
	defer close(v.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			v.s.draw(v.lines(time.Now()))
			v.s.keep()
			return
		case now := <-tick.C:
			v.s.draw(v.lines(now))
		}
	}
}

// finish draws the tree a last time and leaves it there.
func (v *view) finish() {
	close(v.stop)
	<-v.done
}

// lines is the tree as it stands now.
func (v *view) lines(now time.Time) []string {
	width, height := v.s.size()
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]*node, 0, len(v.nodes))
	sum := node{}
	for _, n := range v.nodes {
		all = append(all, n)
		sum.steps, sum.usage = sum.steps+n.steps, sum.usage.Add(n.usage)
		if sum.began.IsZero() || n.began.Before(sum.began) {
			sum.began = n.began
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *node) int { return a.id.Compare(b.id) })
	if all[0].cause != "" {
		sum.ended = all[0].ended
	}
	shown, hidden := fitting(all, height-3)
	var lines []string
	for _, n := range shown {
		lines = append(lines, v.s.row(n, now, width))
	}
	foot := count(len(all), "agent") + ", " + sum.figures(now)
	if hidden > 0 {
		foot = fmt.Sprintf("(%d more) ", hidden) + foot
	}
	return append(lines, v.s.paint(dim, clip(foot, width-1)))
}

// fitting chooses the nodes that have room: where not all have, those at work go before those that have ended.
func fitting(all []*node, room int) (shown []*node, hidden int) {
	room = max(room, 3)
	if len(all) <= room {
		return all, 0
	}
	for _, n := range all {
		if len(shown) < room && (n.ended.IsZero() || n.id.Depth() == 0) {
			shown = append(shown, n)
		}
	}
	return shown, len(all) - len(shown)
}

// row is a node as a line of the tree.
func (s *screen) row(n *node, now time.Time, width int) string {
	word, colour := clip(n.doing, 16), yellow
	switch {
	case n.cause == decouple.CauseDone:
		word, colour = string(n.cause), green
	case n.cause != "":
		word, colour = string(n.cause), red
	}
	end := n.ended
	if end.IsZero() {
		end = now
	}
	right := fmt.Sprintf("%3d st %7s tok %7s $ %7s", n.steps, short(n.usage.TokensIn+n.usage.TokensOut), cents(n.usage.Cost), elapsed(end.Sub(n.began)))
	left := strings.Repeat("  ", n.id.Depth()) + string(n.agent) + " " + n.label
	room := width - 1 - len("  ") - 16 - len("  ") - columns(right)
	if room < 16 {
		return clip(pad(word, 16)+" "+left, width-1)
	}
	return pad(clip(left, room), room) + "  " + s.paint(colour, pad(word, 16)) + "  " + s.paint(dim, right)
}
