package registry_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/registry"
)

var update = flag.Bool("update", false, "rewrite the expected files in testdata")

// TestParse compares what each file of testdata gives with the .want file beside it.
func TestParse(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			a, err := registry.Parse(filepath.Base(file), data)
			got := fmt.Sprintf("%+v\n", a)
			if err != nil {
				got = fmt.Sprintf("%s\n%v\n", decouple.KindOf(err), err)
			}
			want := strings.TrimSuffix(file, ".md") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(expected), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTooLarge(t *testing.T) {
	t.Parallel()
	data := "---\nname: x\ndescription: x\n---\n" + strings.Repeat("x", registry.MaxFile)
	if _, err := registry.Parse("big.md", []byte(data)); err == nil || !strings.Contains(err.Error(), "big.md:1: the file is larger than 262144 bytes") {
		t.Error(err)
	}
	key := strings.Repeat("k", 1000)
	if _, err := registry.Parse("key.md", []byte("---\n"+key+": x\n---\nx")); err == nil || len(err.Error()) > 600 || !strings.Contains(err.Error(), "known are name") {
		t.Error(err)
	}
}

// agent is an agent file with further lines of front matter.
func agent(name, prompt string, lines ...string) *fstest.MapFile {
	front := append([]string{"---", "name: " + name, "description: d"}, lines...)
	return &fstest.MapFile{Data: []byte(strings.Join(front, "\n") + "\n---\n" + prompt + "\n")}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	embedded := registry.Source{Name: "embedded", FS: fstest.MapFS{
		"lead.md":       agent("lead", "embedded lead", "agents: [researcher]", "writer: writer", "tools: [notes.search]"),
		"researcher.md": agent("researcher", "embedded researcher", "agents: [researcher]"),
		"writer.md":     agent("writer", "embedded writer"),
		"README.md":     {Data: []byte("not an agent")},
		"notes.txt":     {Data: []byte("not an agent")},
	}}
	folder := registry.Source{Name: "own/agents", FS: fstest.MapFS{"mine.md": agent("researcher", "own researcher")}}
	s, err := registry.Load([]string{"notes.search"}, embedded, folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range s.Agents() {
		names = append(names, string(a.Name)+": "+a.Prompt+": "+s.File(a.Name))
	}
	want := []string{"lead: embedded lead: embedded/lead.md", "researcher: own researcher: own/agents/mine.md", "writer: embedded writer: embedded/writer.md"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a, err := s.Agent("lead"); err != nil || a.Writer != "writer" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := s.Agent("reseacher"); decouple.KindOf(err) != decouple.NotFound || !strings.Contains(err.Error(), `did you mean "researcher"?`) {
		t.Error(err)
	}
	if a, err := s.Check("new.md", agent("new", "p", "agents: [lead, new]").Data); err != nil || a.Name != "new" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := s.Check("new.md", agent("new", "p", "agents: [leed]").Data); err == nil || err.Error() != `new.md:4: there is no agent "leed": did you mean "lead"?` {
		t.Error(err)
	}
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	first := registry.Source{Name: "a", FS: fstest.MapFS{
		"1.md": agent("one", "p", "tools:", "  - notes.search", "  - notes.serch", "  - 7", "  - far.away.from.all", "writer: nobody"),
		"2.md": agent("one", "p"),
		"3.md": agent("two", "p", "agents: [oen, Bad]", "writer: One"),
		"4.md": agent("7", "p"),
	}}
	_, err := registry.Load([]string{"notes.search", "notes.read"}, first)
	want := `a/1.md:6: there is no tool "notes.serch": did you mean "notes.search"?
a/1.md:7: a tool must be text: write it in quotes, "7"
a/1.md:8: there is no tool "far.away.from.all": known are notes.search, notes.read
a/1.md:9: there is no agent "nobody": known are one, two
a/2.md:2: agent one is also in a/1.md: give one of them another name
a/3.md:4: an agent is "Bad": an agent's name is a small letter, then small letters, digits and dashes, at most 64 of them
a/3.md:4: there is no agent "oen": did you mean "one"?
a/3.md:5: writer is "One": an agent's name is a small letter, then small letters, digits and dashes, at most 64 of them
a/4.md:2: name must be text: write it in quotes, "7"`
	var faults registry.Faults
	if !errors.As(err, &faults) || len(faults) != 9 || decouple.KindOf(err) != decouple.Invalid {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := registry.Load(nil, registry.Source{Name: "a", FS: fstest.MapFS{"1.md": agent("one", "p", "tools: [x]")}}); err == nil || !strings.HasSuffix(err.Error(), "there are none") {
		t.Error(err)
	}
}

// broken is a file system whose files cannot be opened.
type broken struct {
	fstest.MapFS
	err error
}

func (b broken) Open(name string) (fs.File, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
	}
	return b.MapFS.Open(name)
}

func (b broken) ReadFile(name string) ([]byte, error) { return nil, b.err }

func TestLoadCannotRead(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"x.md": agent("x", "p")}
	for place, c := range map[string]struct {
		fs   fs.FS
		kind decouple.Kind
	}{
		"gone":      {os.DirFS(filepath.Join(t.TempDir(), "gone")), decouple.NotFound},
		"shut/x.md": {broken{files, fs.ErrPermission}, decouple.Denied},
		"bad/x.md":  {broken{files, errors.New("disk")}, decouple.Unavailable},
	} {
		_, err := registry.Load(nil, registry.Source{Name: strings.TrimSuffix(place, "/x.md"), FS: c.fs})
		if decouple.KindOf(err) != c.kind || !strings.Contains(err.Error(), "reading agents from "+place+": ") {
			t.Errorf("%s: %s: %v", place, decouple.KindOf(err), err)
		}
	}
}

// FuzzParse checks that a file is either refused with the place, or an agent that keeps what is promised.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := registry.Parse("f.md", data)
		if err == nil {
			e := a.Envelope
			if a.Name == "" || a.Description == "" || a.Prompt == "" || len(a.Version) != 64 ||
				min(int64(e.USD), e.Tokens, e.ToolCalls, e.Agents, int64(e.Depth), int64(e.Children), int64(e.Steps), int64(e.Time)) < 0 {
				t.Fatalf("%+v", a)
			}
			return
		}
		var faults registry.Faults
		if !errors.As(err, &faults) || a.Name != "" {
			t.Fatalf("%+v, %v", a, err)
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, fault := range faults {
			if fault.File != "f.md" || fault.Line < 1 || fault.Line > lines || fault.Text == "" {
				t.Fatalf("a file of %d lines: %+v", lines, fault)
			}
		}
	})
}
