package exit_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/exit"
)

// small is a bundle of a run and a note.
func small(t *testing.T) []byte {
	t.Helper()
	store := newPlace(t, false).open()
	e := newEngine(t, store)
	id, err := e.Start(t.Context(), engine.Start{Agent: "node", Task: decouple.Task{Question: "small"}})
	if err == nil {
		_, err = e.Drive(t.Context(), decouple.LocalTenant, id)
	}
	if err != nil {
		t.Fatal(err)
	}
	blob, err := store.PutBlob(t.Context(), decouple.LocalTenant, "", strings.NewReader(strings.Repeat("blob ", 300)))
	if err == nil {
		_, err = store.Commit(t.Context(), journal.Mutation{ID: "b", Stream: decouple.Stream{Tenant: decouple.LocalTenant, Kind: "thing", ID: "t"}, Pin: []decouple.BlobID{blob.ID},
			Events: []journal.NewEvent{{Kind: "thing.made", KindVersion: 1}}, Put: []journal.Put{{To: id, Kind: "note", From: "x"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	path, _ := bundle(t, store.(exit.Log))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// names the place: a byte, a file, the manifest or its signature.
var namesPlace = regexp.MustCompile(`byte \d|bytes \d|the file |manifest|signature|DSSE|payload|key `)

// TestEveryByte changes each byte of a bundle, and cuts it at each: all are refused, and the place is named.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	good := small(t)
	if _, err := exit.OpenBytes(t.Context(), good, key(t).Public()); err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, good...)
	for i := range good {
		bad[i] ^= 1
		_, err := exit.OpenBytes(t.Context(), bad, key(t).Public())
		if err == nil {
			t.Fatalf("byte %d of %d was changed, and nobody sees it", i, len(good))
		}
		if k := decouple.KindOf(err); k != decouple.Denied && k != decouple.Invalid || !namesPlace.MatchString(err.Error()) {
			t.Fatalf("byte %d: %s: %v", i, k, err)
		}
		bad[i] ^= 1
	}
	for i := 0; i < len(good); i += 7 {
		if _, err := exit.OpenBytes(t.Context(), good[:i], key(t).Public()); decouple.KindOf(err) != decouple.Denied {
			t.Fatalf("cut at byte %d: %v", i, err)
		}
	}
	if _, err := exit.OpenBytes(t.Context(), append(good[:len(good):len(good)], 0), key(t).Public()); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("a zero more: %v", err)
	}
}

// packed is a file of an archive.
type packed struct {
	name    string
	content []byte
}

func unpack(t *testing.T, b []byte) []packed {
	t.Helper()
	var out []packed
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, packed{h.Name, content})
	}
}

func pack(t *testing.T, files []packed) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, f := range files {
		h, err := exit.Header(f.name, int64(len(f.content)))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(h)
		b.Write(f.content)
		b.Write(make([]byte, (512-len(f.content)%512)%512))
	}
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

// TestTampered drops, adds, reorders and rewrites files and lines with archives that are whole, and demands that the place is named.
func TestTampered(t *testing.T) {
	t.Parallel()
	good := small(t)
	if !bytes.Equal(pack(t, unpack(t, good)), good) {
		t.Fatal("the standard library reads another archive")
	}
	at := func(files []packed, name string) int {
		for i, f := range files {
			if strings.HasPrefix(f.name, name) {
				return i
			}
		}
		t.Fatalf("there is no file %s", name)
		return 0
	}
	lines := func(f *packed, change func([][]byte) [][]byte) {
		f.content = bytes.Join(change(bytes.SplitAfter(f.content, []byte("\n"))), nil)
	}
	for what, c := range map[string]struct {
		change func(files []packed) []packed
		says   string
	}{
		"a file is dropped":   {func(f []packed) []packed { i := at(f, "runs/"); return append(f[:i], f[i+1:]...) }, "the file runs/000001.jsonl is missing"},
		"the last is dropped": {func(f []packed) []packed { return f[:len(f)-1] }, "it has no manifest.json"},
		"a file is added":     {func(f []packed) []packed { return append([]packed{{"evil.sh", []byte("x")}}, f...) }, `"evil.sh" is not one of those`},
		"one before the last": {func(f []packed) []packed { n := len(f) - 1; return append(append(f[:n:n], packed{"z", nil}), f[n]) }, `"z" is not one of those`},
		"one behind the last": {func(f []packed) []packed { return append(f, packed{"z", nil}) }, `"z" stands behind the manifest`},
		"a file comes twice":  {func(f []packed) []packed { i := at(f, "runs/"); return append(f[:i+1:i+1], f[i:]...) }, "another order"},
		"two files change":    {func(f []packed) []packed { i, j := at(f, "runs/"), at(f, "events/"); f[i], f[j] = f[j], f[i]; return f }, "files were put in another order"},
		"two manifests":       {func(f []packed) []packed { return append(f, f[len(f)-1]) }, "stands behind the manifest"},
		"an event's payload": {func(f []packed) []packed {
			e := &f[at(f, "events/")]
			e.content = bytes.Replace(e.content, []byte(`"small"`), []byte(`"smalk"`), 1)
			return f
		}, "does not match its checksum"},
		"an event is dropped": {func(f []packed) []packed {
			lines(&f[at(f, "events/")], func(l [][]byte) [][]byte { return append(l[:2], l[3:]...) })
			return f
		}, "the file events/000001.jsonl, line 3 (the event at position 4"},
		"events change places": {func(f []packed) []packed {
			lines(&f[at(f, "events/")], func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l })
			return f
		}, "the file events/000001.jsonl, line 2"},
		"a run's status": {func(f []packed) []packed {
			e := &f[at(f, "runs/")]
			e.content = bytes.Replace(e.content, []byte(`"ended"`), []byte(`"ready"`), 1)
			return f
		}, "the file runs/000001.jsonl, bytes 0 to "},
		"a byte of a blob": {func(f []packed) []packed { f[at(f, "content/")].content[7] ^= 8; return f }, "the file content/00000001, bytes 0 to "},
		"a signature of nobody": {func(f []packed) []packed {
			m := &f[len(f)-1]
			m.content = bytes.Replace(m.content, []byte(`"sig":"`), []byte(`"sig":"AA`), 1)
			return f
		}, "signature"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := exit.OpenBytes(t.Context(), pack(t, c.change(unpack(t, good))), key(t).Public())
			if k := decouple.KindOf(err); k != decouple.Denied && k != decouple.Invalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// TestUnsound has the installation sign what does not hold together: the lines say so.
func TestUnsound(t *testing.T) {
	t.Parallel()
	store := newPlace(t, false).open()
	build(t, store)
	path, _ := bundle(t, lying{store.(exit.Log)})
	b, err := exit.Open(t.Context(), path, key(t).Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if err := b.Check(t.Context(), nil); decouple.KindOf(err) != decouple.Denied || !strings.Contains(err.Error(), "events/000001.jsonl, line 5") {
		t.Errorf("events that were changed before they were signed: %v", err)
	}
}

// lying is a journal that gives another payload than it has.
type lying struct{ exit.Log }

// Dump changes the fifth event.
func (l lying) Dump(ctx ctxt, fn func(journal.Record) error) error {
	return l.Log.Dump(ctx, func(r journal.Record) error {
		if r.Event != nil && r.Event.Position == 5 {
			e := *r.Event
			e.Payload = []byte(`{"n":5}`)
			r.Event = &e
		}
		return fn(r)
	})
}

// TestBigBundle changes bytes all over a bundle of many parts and blocks.
func TestBigBundle(t *testing.T) {
	t.Parallel()
	store := newPlace(t, false).open()
	for i := range 60 {
		var events []journal.NewEvent
		for range 60 {
			events = append(events, journal.NewEvent{Kind: "big.event", KindVersion: 1, Payload: []byte(`"` + strings.Repeat("x", 3000) + `"`)})
		}
		if _, err := store.Commit(t.Context(), journal.Mutation{ID: decouple.CommitID(rune('a' + i)), Stream: decouple.Stream{Tenant: "t", Kind: "big", ID: string(rune('a' + i))}, Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	path, s := bundle(t, store.(exit.Log))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for _, f := range s.Manifest.Files {
		if strings.HasPrefix(f.Name, "events/") {
			parts++
		}
	}
	if parts < 3 {
		t.Fatalf("%d parts of events", parts)
	}
	for i := 5_000; i < len(good); i += len(good) / 23 {
		good[i] ^= 4
		if _, err := exit.OpenBytes(t.Context(), good, key(t).Public()); err == nil || !namesPlace.MatchString(err.Error()) {
			t.Errorf("byte %d: %v", i, err)
		}
		good[i] ^= 4
	}
}
