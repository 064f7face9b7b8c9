package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"github.com/google/go-cmp/cmp"
)

// family is a tree with tools, results that ride, a tool with an effect, three children of which the first ends last, a grandchild, and a write-up.
var family = map[string][]string{
	"chief":  {"look:a look:b", "act:once", "spawn:worker:slow spawn:worker:quick spawn:lead:deep", "say:all_in"},
	"slow":   {"look:1", "look:2", "look:3", "say:slow_done"},
	"quick":  {"say:quick_done"},
	"deep":   {"look:x", "spawn:worker:leaf", "say:deep_done"},
	"leaf":   {"look:much", "say:leaf_done"},
	"writer": {"say:the_answer"},
}

const familyTree = `root chief done "the answer" steps 4: 
root.1 worker done "slow done" steps 4: 
root.2 worker done "quick done" steps 1: 
root.3 lead done "deep done" steps 3: 
root.3.1 worker done "leaf done" steps 2: 
root.4 writer done "the answer" steps 1: 
`

// sorted puts the lines of a tree in order of their ids: children of different parents are created as it happens.
func sorted(tree string) string {
	lines := strings.SplitAfter(tree, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, family)
	id := w.start("chief", "q", decouple.Envelope{})
	s := w.drive(id)
	if d := cmp.Diff(familyTree, sorted(w.tree(id))); d != "" {
		t.Fatal(d)
	}
	if s.Answer != "the answer" || s.Cause.Kind != decouple.CauseDone {
		t.Errorf("the root ended as %v with %q", s.Cause, s.Answer)
	}
	// The results of children stand in the order in which they were spawned.
	var got []string
	for _, p := range s.Messages[6].Parts {
		got = append(got, p.Result.Text)
	}
	if d := cmp.Diff([]string{"slow done", "quick done", "deep done"}, got); d != "" {
		t.Error(d)
	}
	seen := map[string]bool{}
	for _, c := range w.model.calls {
		if seen[c] {
			t.Errorf("the model was called twice for %s", c)
		}
		seen[c] = true
	}
	if _, err := w.eng.Drive(t.Context(), decouple.LocalTenant, id); err != nil {
		t.Errorf("driving a tree that has ended: %v", err)
	}
}

// TestLongResults looks that a result that is too long for an event is kept whole, and that the model can read it page by page.
func TestLongResults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"look:big", "result.read:x", "say:done"}})
	whole := strings.Repeat("long ", 40_000)
	var read strings.Builder
	page := 0
	w.replace(mute{answer: func(_ context.Context, req decouple.Request) (decouple.Answer, error) {
		last := req.Messages[len(req.Messages)-1]
		call := &decouple.ToolCall{ID: "a", Name: "look", Args: json.RawMessage(`{"n":"big"}`)}
		if last.Role == decouple.ToolRole {
			text, frame, _ := strings.Cut(last.Parts[0].Result.Text, "\n[page ")
			read.WriteString(text)
			if page++; !strings.Contains(frame, "gives the next") {
				return decouple.Answer{Message: decouple.Text(decouple.Assistant, "done")}, nil
			}
			if !slices.ContainsFunc(req.Tools, func(s decouple.ToolSpec) bool { return s.Name == decouple.ToolResultRead }) {
				t.Error("the model is not offered the tool to read on")
			}
			call.Name, call.Args = decouple.ToolResultRead, json.RawMessage(fmt.Sprintf(`{"call":"1/1","page":%d}`, page+1))
		}
		return decouple.Answer{Message: decouple.Message{Role: decouple.Assistant, Parts: []decouple.Part{{Call: call}}}}, nil
	}})
	id := w.start("worker", "q", decouple.Envelope{})
	s := w.drive(id)
	if s.Cause.Kind != decouple.CauseDone || read.String() != whole || page < 4 {
		t.Errorf("%d pages gave %d bytes of %d; the run ended as %v", page, read.Len(), len(whole), s.Cause)
	}
	if _, err := sqlite.Verify(t.Context(), w.dir); err != nil {
		t.Error(err)
	}
}

// dying is a store whose process dies right after its n-th commit: the commit is durable, and nobody is told.
type dying struct {
	journal.Store
	mu   sync.Mutex
	left int
	dead bool
}

var errDied = errors.New("the process died")

func (d *dying) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return journal.Receipt{}, errDied
	}
	r, err := d.Store.Commit(ctx, m)
	if err != nil {
		return r, err
	}
	if d.left--; d.left == 0 {
		d.dead = true
		return journal.Receipt{}, errDied
	}
	return r, nil
}

// TestCrashAfterEveryCommit lets the process die after each commit in turn and resumes: the same tree, and no model call whose answer was kept is repeated.
func TestCrashAfterEveryCommit(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w := newWorld(t, family)
		d := &dying{left: n + 1} // the first commit keeps the agent's version, the second begins the run
		w.wrap = func(s journal.Store) journal.Store { d.Store = s; return d }
		w.reopen()
		id, err := w.eng.Start(t.Context(), engine.Start{Agent: "chief", Task: decouple.Task{Question: "q"}, Key: "k"})
		if err == nil {
			_, err = w.eng.Drive(t.Context(), decouple.LocalTenant, id)
		}
		if err == nil {
			if n < 15 {
				t.Fatalf("the tree took %d commits only", n)
			}
			return // every commit has had its turn
		}
		if !errors.Is(err, errDied) {
			t.Fatalf("commit %d: %v", n, err)
		}
		before := durableAnswers(t, w, "")
		calls := len(w.model.calls)
		w.wrap = nil
		w.reopen()
		id = w.startAgain("k")
		if _, err := w.eng.Resume(t.Context(), decouple.LocalTenant, id); err != nil {
			t.Fatal(err)
		}
		w.drive(id)
		if d := cmp.Diff(familyTree, sorted(w.tree(id))); d != "" {
			t.Fatalf("died after commit %d: %s", n, d)
		}
		for _, c := range w.model.calls[calls:] {
			if before[c] {
				t.Errorf("died after commit %d: the model was asked again for %s, whose answer had been kept", n, c)
			}
		}
	}
}

func (w *world) startAgain(key string) decouple.RunID {
	w.t.Helper()
	id, err := w.eng.Start(w.t.Context(), engine.Start{Agent: "chief", Task: decouple.Task{Question: "q"}, Key: key})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// durableAnswers are the "run/step" whose answers are in the journal.
func durableAnswers(t *testing.T, w *world, root decouple.RunID) map[string]bool {
	t.Helper()
	rows, err := w.store.Runs(t.Context(), journal.RunFilter{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, r := range rows {
		s, err := engine.Load(t.Context(), w.store, r.Tenant, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Steps {
			kept[fmt.Sprintf("%s/%d", r.ID, i+1)] = true
		}
	}
	return kept
}

// TestInterrupt stops a drive while a model hangs: everything is parked as interrupted, and goes on when it is resumed.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	lines := map[string][]string{"lead": {"spawn:worker:hangs spawn:worker:ends", "say:done"}, "hangs": {"hang", "say:woken"}, "ends": {"say:ended"}}
	w := newWorld(t, lines)
	id := w.start("lead", "q", decouple.Envelope{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-w.model.hang; cancel() }()
	if _, err := w.eng.Drive(ctx, decouple.LocalTenant, id); decouple.KindOf(err) != decouple.Canceled {
		t.Fatalf("an interrupted drive says %v", err)
	}
	rows, err := w.store.Runs(t.Context(), journal.RunFilter{Root: id})
	if err != nil {
		t.Fatal(err)
	}
	if r := rows[1]; r.Status != decouple.RunParked || r.Wait.Kind != decouple.WaitInterrupted {
		t.Errorf("the run that hung is %s and waits for %q", r.Status, r.Wait.Kind)
	}
	lines["hangs"] = []string{"say:woken"}
	w.reopen()
	if n, err := w.eng.Resume(t.Context(), decouple.LocalTenant, id); err != nil || n == 0 {
		t.Fatalf("resumed %d runs: %v", n, err)
	}
	w.drive(id)
	want := "root lead done \"done\" steps 2: \nroot.1 worker done \"woken\" steps 1: \nroot.2 worker done \"ended\" steps 1: \n"
	if d := cmp.Diff(want, w.tree(id)); d != "" {
		t.Error(d)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"lead": {"spawn:worker:hangs spawn:worker:ends", "say:done"}, "hangs": {"hang"}, "ends": {"say:ended"}})
	id := w.start("lead", "q", decouple.Envelope{})
	go func() {
		<-w.model.hang
		if _, err := w.eng.Cancel(context.Background(), decouple.LocalTenant, id, engine.Cancellation{By: "somebody", Why: "enough"}); err != nil {
			t.Error(err)
		}
	}()
	s := w.drive(id)
	if s.Cause.Kind != decouple.CauseCanceled || !strings.Contains(s.Cause.Why, "somebody: enough") {
		t.Errorf("the root ended as %v", s.Cause)
	}
	for _, line := range strings.Split(strings.TrimSpace(w.tree(id)), "\n") {
		if !strings.Contains(line, "canceled") && !strings.Contains(line, "ended") {
			t.Errorf("after the cancel: %s", line)
		}
	}
	if _, err := w.eng.Cancel(t.Context(), decouple.LocalTenant, id, engine.Cancellation{By: "x"}); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("canceling what has ended: %v", err)
	}
	if _, err := w.eng.Cancel(t.Context(), decouple.LocalTenant, "nobody", engine.Cancellation{By: "x"}); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("canceling nobody: %v", err)
	}
}

// TestCancelOneChild leaves its sibling and its parent alone.
func TestCancelOneChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"lead": {"spawn:worker:hangs spawn:worker:ends", "say:done"}, "hangs": {"hang"}, "ends": {"say:ended"}})
	id := w.start("lead", "q", decouple.Envelope{})
	go func() {
		<-w.model.hang
		if _, err := w.eng.Cancel(context.Background(), decouple.LocalTenant, id+".1", engine.Cancellation{By: "somebody"}); err != nil {
			t.Error(err)
		}
	}()
	w.drive(id)
	want := "root lead done \"done\" steps 2: \nroot.1 worker canceled \"\" steps 0: canceled by somebody\nroot.2 worker done \"ended\" steps 1: \n"
	if d := cmp.Diff(want, w.tree(id)); d != "" {
		t.Error(d)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	lines := map[string][]string{
		"lead": {"spawn:worker:bad spawn:worker:good", "say:done"}, "bad": {"look:a", "fail:unavailable"}, "good": {"look:error", "say:fine"},
	}
	w := newWorld(t, lines)
	id := w.start("lead", "q", decouple.Envelope{})
	s := w.drive(id)
	want := "root lead done \"done\" steps 2: \nroot.1 worker failed \"\" steps 1: the script fails\nroot.2 worker done \"fine\" steps 2: \n"
	if d := cmp.Diff(want, w.tree(id)); d != "" {
		t.Error(d)
	}
	r := s.Messages[2].Parts
	if !r[0].Result.Error || !strings.Contains(r[0].Result.Text, "failed") || r[1].Result.Text != "fine" {
		t.Errorf("the parent was told %+v and %+v", *r[0].Result, *r[1].Result)
	}
	if _, err := w.eng.Start(t.Context(), engine.Start{Agent: "nobody"}); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("starting an unknown agent: %v", err)
	}
	w.model.price = decouple.Price{}
	if _, err := w.eng.Start(t.Context(), engine.Start{Agent: "lead", Envelope: decouple.Envelope{USD: decouple.USD}}); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("a limit of money with an unknown price: %v", err)
	}
}

func TestStartTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, family)
	if a, b := w.startAgain("k"), w.startAgain("k"); a != b {
		t.Errorf("the same key started %s and %s", a, b)
	}
}

// TestEnvelope runs trees under every limit from nothing to plenty: never more is used than was allowed, the write-up comes while there is anything, and
// every end says why.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, family)
	check := func(env decouple.Envelope) {
		id := w.start("chief", "q", env)
		s := w.drive(id)
		used := s.Used()
		if env.Tokens > 0 && used.Tokens > env.Tokens || env.ToolCalls > 0 && used.ToolCalls > env.ToolCalls || env.Agents > 0 && used.Agents > env.Agents || env.USD > 0 && used.USD > env.USD {
			t.Errorf("%+v was overspent: %+v", env, used)
		}
		if s.Cause.Kind != decouple.CauseDone && s.Cause.Why == "" {
			t.Errorf("%+v: the end says no reason: %v", env, s.Cause)
		}
		if s.Cause.Kind == decouple.CauseDone && env.Steps != 1 && s.Answer != "the answer" {
			t.Errorf("%+v: done with %q", env, s.Answer)
		}
	}
	for tokens := int64(500); tokens < 200_000; tokens = tokens*13/10 + 1 {
		check(decouple.Envelope{Tokens: tokens})
		check(decouple.Envelope{USD: decouple.Money(tokens) * 1000})
	}
	for n := int64(1); n < 12; n++ {
		check(decouple.Envelope{ToolCalls: n})
		check(decouple.Envelope{Agents: n})
		check(decouple.Envelope{Children: int(n)})
		check(decouple.Envelope{Depth: int(n)})
		check(decouple.Envelope{Steps: int(n)})
	}
}
