package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

const (
	killsEach   = 18 // for each number of writers
	killsFolder = 3  // in one folder, before a fresh one
)

// TestKill kills a process that commits, at random moments, and looks at what it left.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, writers := range []int{1, 16, 64} {
		t.Run(fmt.Sprint(writers, " writers"), func(t *testing.T) {
			t.Parallel()
			k := killer{t: t, writers: writers, r: rand.New(rand.NewPCG(uint64(writers), 0))}
			for n := range killsEach {
				if n%killsFolder == 0 {
					k.dir, k.rounds = t.TempDir(), nil
				}
				k.round(n)
			}
		})
	}
}

// killer kills children that write in a folder, one after another.
type killer struct {
	t       *testing.T
	dir     string
	writers int
	r       *rand.Rand
	rounds  []round
}

// round is what one child acknowledged: for each writer the newest commit, and its position.
type round struct {
	hub   decouple.RunID
	acked map[int]int
	at    map[int]decouple.Position
}

// round lets a child write, kills it, and checks everything that was ever acknowledged in the folder. Now and then a child is killed before it
// could say anything, while it recovers what the last one left.
func (k *killer) round(n int) {
	k.t.Helper()
	if k.r.IntN(3) == 0 {
		early := process(k.t, "commit", k.dir, k.writers, fmt.Sprint("e", n))
		if err := early.Start(); err != nil {
			k.t.Fatal(err)
		}
		<-time.After(time.Duration(k.r.IntN(60)) * time.Millisecond)
		_ = early.Process.Kill()
		_ = early.Wait()
	}
	r := k.kill(fmt.Sprint("r", n))
	k.rounds = append(k.rounds, r)
	sound(k.t, k.dir)
	s := open(k.t, k.dir)
	for _, r := range k.rounds {
		k.check(s, r)
	}
	if err := s.Close(); err != nil {
		k.t.Fatalf("Close: %v", err)
	}
	sound(k.t, k.dir)
}

// kill starts a child and kills it up to 150 ms after its first acknowledgement.
func (k *killer) kill(name string) round {
	k.t.Helper()
	cmd := process(k.t, "commit", k.dir, k.writers, name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	r := round{decouple.RunID(name), map[int]int{}, map[int]decouple.Position{}}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // a line without its end was not acknowledged
			break
		}
		if len(r.acked) == 0 {
			time.AfterFunc(time.Duration(k.r.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		var w, i int
		var at decouple.Position
		if _, err := fmt.Sscan(line, &w, &i, &at); err != nil {
			k.t.Fatalf("the child says %q: %v", line, err)
		}
		if i != r.acked[w]+1 {
			k.t.Fatalf("writer %d acknowledges %d after %d", w, i, r.acked[w])
		}
		r.acked[w], r.at[w] = i, at
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		k.t.Fatalf("the child ended by itself: %v\n%s", err, stderr.String())
	}
	return r
}

// check demands that everything acknowledged is there and that nothing is there by halves: a commit of writer w has two events, a child with
// two events, a message for the hub, a step in the view, and sometimes a blob.
func (k *killer) check(s *sqlite.Store, r round) {
	k.t.Helper()
	ctx := k.t.Context()
	rows, err := s.Runs(ctx, journal.RunFilter{Root: r.hub})
	if err != nil {
		k.t.Fatal(err)
	}
	byID := map[decouple.RunID]journal.RunRow{}
	for _, row := range rows {
		byID[row.ID] = row
	}
	inbox, err := s.Inbox(ctx, tenant, r.hub)
	if err != nil {
		k.t.Fatal(err)
	}
	messages := map[string]int{}
	for i, m := range inbox {
		if m.Seq != journal.InboxSeq(i+1) {
			k.t.Fatalf("message %d of %s has number %d", i+1, r.hub, m.Seq)
		}
		messages[m.From]++
	}
	total := 0
	for w := range k.writers {
		total += k.checkWriter(s, r, w, byID, messages)
	}
	if len(rows) != 1+k.writers+total || len(inbox) != total {
		k.t.Fatalf("%s: %d runs and %d messages for %d commits of %d writers", r.hub, len(rows), len(inbox), total, k.writers)
	}
}

// checkWriter checks one writer's commits and says how many there are.
func (k *killer) checkWriter(s *sqlite.Store, r round, w int, rows map[decouple.RunID]journal.RunRow, messages map[string]int) int {
	k.t.Helper()
	ctx := k.t.Context()
	id := writerID(r.hub, w)
	es, err := s.Read(ctx, decouple.RunStream(tenant, id), 1, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	n := len(es) / 2
	if len(es)%2 != 0 || n < r.acked[w] {
		k.t.Fatalf("writer %s: %d events for %d acknowledged commits of two", id, len(es), r.acked[w])
	}
	if row := rows[id]; row.Steps != n || row.Seq != decouple.Seq(1+2*n) {
		k.t.Fatalf("writer %s: the view is at step %d and number %d after %d commits", id, row.Steps, row.Seq, n)
	}
	for i := 1; i <= n; i++ {
		first, second := es[2*i-2], es[2*i-1]
		if string(first.Payload) != fmt.Sprint(i) || string(second.Payload) != fmt.Sprint(i) || first.Commit != second.Commit {
			k.t.Fatalf("writer %s: commit %d holds %s and %s", id, i, first.Payload, second.Payload)
		}
		child := childID(id, i)
		if rows[child].Seq != 2 || messages[string(child)] != 1 {
			k.t.Fatalf("commit %d of %s is half done: its child is at %d, %d messages", i, id, rows[child].Seq, messages[string(child)])
		}
	}
	if n > 0 {
		k.checkLast(s, r, w, es[2*n-1])
	}
	return n
}

// checkLast submits the newest commit of a writer again: it must be known, whether it was acknowledged or not. Its blob must be there.
func (k *killer) checkLast(s *sqlite.Store, r round, w int, last decouple.Event) {
	k.t.Helper()
	n := int(last.Seq-1) / 2
	m := step(r.hub, w, n, 0)
	got, err := s.Commit(k.t.Context(), m)
	if err != nil || !got.Repeated || got.Seq != last.Seq || got.Event != last.ID {
		k.t.Fatalf("the newest commit of %s, submitted again = %+v, %v", m.Stream, got, err)
	}
	if n == r.acked[w] && got.Position != r.at[w] {
		k.t.Fatalf("the newest commit of %s was acknowledged at position %d and is at %d", m.Stream, r.at[w], got.Position)
	}
	for i := n / blobEvery * blobEvery; i > 0; i -= blobEvery {
		id, err := s.Address(k.t.Context(), tenant, "", blobOf(r.hub, w, i))
		if err != nil {
			k.t.Fatal(err)
		}
		rc, err := s.GetBlob(k.t.Context(), tenant, id)
		if err != nil {
			k.t.Fatalf("the blob of commit %d of %s: %v", i, m.Stream, err)
		}
		b, err := io.ReadAll(rc)
		if err := errors.Join(err, rc.Close()); err != nil || !bytes.Equal(b, blobOf(r.hub, w, i)) {
			k.t.Fatalf("the blob of commit %d of %s: %d bytes, %v", i, m.Stream, len(b), err)
		}
	}
}

const blobEvery = 50 // commits of a writer that pin a blob

func blobOf(hub decouple.RunID, w, i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s/%d/%d ", hub, w, i), 2000+i)
}

func writerID(hub decouple.RunID, w int) decouple.RunID {
	return hub + decouple.RunID("."+strconv.Itoa(w+1))
}

func childID(writer decouple.RunID, i int) decouple.RunID {
	return writer + decouple.RunID("."+strconv.Itoa(i))
}

// step is commit i, from 1, of a writer, without its pin.
func step(hub decouple.RunID, w, i int, e journal.Epoch) journal.Mutation {
	id := writerID(hub, w)
	payload, child := strconv.Itoa(i), childID(id, i)
	return journal.Mutation{
		ID: decouple.CommitID(child), Stream: decouple.RunStream(tenant, id), Expect: decouple.Seq(2*i - 1), Epoch: e,
		Events: []journal.NewEvent{event(payload), event(payload)},
		Create: []journal.NewRun{newRun(child, `1`, `2`)},
		Put:    []journal.Put{{To: hub, Kind: "joined", From: string(child), Body: []byte(payload)}},
		Status: &journal.StatusChange{Status: decouple.RunRunning, Steps: i},
	}
}

// childCommit commits with many writers until it is killed, and says after each commit: writer, number, position.
func childCommit(args []string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: args[0]})
	if err != nil {
		return err
	}
	writers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	hub := decouple.RunID(args[2])
	create := journal.Mutation{ID: decouple.CommitID(hub), Create: []journal.NewRun{newRun(hub, `0`)}}
	for w := range writers {
		create.Create = append(create.Create, newRun(writerID(hub, w), `0`))
	}
	if _, err := s.Commit(ctx, create); err != nil {
		return err
	}
	for range 1 + writers {
		if _, err := s.Claim(ctx, journal.Want{Root: hub}); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() { errs <- writeOn(ctx, s, hub, w) })
	}
	wg.Wait()
	return <-errs
}

// writeOn is one writer.
func writeOn(ctx context.Context, s *sqlite.Store, hub decouple.RunID, w int) error {
	for i := 1; ; i++ {
		m := step(hub, w, i, s.Epoch())
		if i%blobEvery == 0 {
			b, err := s.PutBlob(ctx, tenant, "", bytes.NewReader(blobOf(hub, w, i)))
			if err != nil {
				return err
			}
			m.Pin = []decouple.BlobID{b.ID}
		}
		r, err := s.Commit(ctx, m)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "%d %d %d\n", w, i, r.Position); err != nil {
			return err
		}
	}
}
