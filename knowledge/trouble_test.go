package knowledge_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"github.com/google/go-cmp/cmp"
)

// packed compresses what is written.
func packed(t *testing.T, fill func(w io.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsNoDocumentIsNamedAndStopsNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("file names are only here any bytes")
	}
	w := newWorld(t)
	w.file("a/good.txt", "Herons stand still in the water for hours on end.\n")
	w.file("a/packed.md.gz", packed(t, func(w io.Writer) {
		_, _ = io.WriteString(w, "# Storks\n\nStorks nest on the roofs of tall old houses.\n")
	}))
	w.file("a/bomb.txt.gz", packed(t, func(w io.Writer) {
		zeros := bytes.Repeat([]byte("0"), 1<<20)
		for range 65 {
			_, _ = w.Write(zeros)
		}
	}))
	w.file("a/binary", "\x7fELF\x00\x00")
	w.file("a/utf16.txt", "\xff\xfeh\x00i\x00")
	w.file("a/latin1.txt", "caf\xe9 au lait\n")
	w.file("a/empty.txt", "")
	w.file("a/blank.txt", " \n\n")
	w.file("a/cut.gz", "\x1f\x8b\x08\x00")
	w.file("a/broken.pdf", "%PDF-1.4\nthis is not one")
	w.file("a/name\xff.txt", "A file whose name is not UTF-8 at all.\n")
	w.file("a/.hidden", "A file that is hidden from the eye.\n")
	large := w.file("a/large.txt", "x")
	for _, err := range []error{
		os.Truncate(large, 64<<20+1),
		os.Symlink(".", filepath.Join(w.docs, "a/loop")),
		os.Symlink("self", filepath.Join(w.docs, "a/self")),
		os.Symlink("nothing", filepath.Join(w.docs, "a/dangling")),
		syscall.Mkfifo(filepath.Join(w.docs, "a/pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := w.add(w.docs, filepath.Join(w.docs, "missing"))
	got := map[string]string{}
	for _, s := range sum.Skipped {
		rel, _ := filepath.Rel(w.docs, s.Path)
		got[rel] = s.Why
	}
	want := map[string]string{
		"a/bomb.txt.gz": "unpacks to more than 64 MB", "a/binary": "not text: it holds NUL bytes", "a/utf16.txt": "not text: UTF-16; convert it to UTF-8",
		"a/latin1.txt": "not text: not valid UTF-8; convert it to UTF-8", "a/empty.txt": "empty", "a/blank.txt": "empty", "a/cut.gz": "broken gzip: unexpected EOF",
		"a/broken.pdf": got["a/broken.pdf"], "a/name\ufffd.txt": "its name is not UTF-8", "a/.hidden": "hidden; name it to add it", "a/large.txt": "larger than 64 MB",
		"a/loop": "a symbolic link to a folder that is read already", "a/self": "a symbolic link that leads nowhere: too many levels of symbolic links",
		"a/dangling": "a symbolic link to nothing", "a/pipe": "not a regular file", "missing": "does not exist",
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(got["a/broken.pdf"], "broken PDF: ") {
		t.Errorf("%s broken.pdf: %q", diff, got["a/broken.pdf"])
	}
	if sum.Added != 2 {
		t.Errorf("%+v", sum)
	}
	if found := w.search(w.base, decouple.Sources{}, "storks and herons"); len(found) != 2 {
		t.Errorf("%q", found)
	}
}

func TestPDF(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.file("paper.pdf", string(onePagePDF("Albatrosses glide over the sea for many days without a rest.")))
	if sum := w.add(); sum.Added != 1 {
		t.Fatalf("%+v", sum)
	}
	text, err := w.base.Text(t.Context(), p)
	if err != nil || !strings.Contains(text, "Albatrosses glide over the sea") {
		t.Errorf("%q, %v", text, err)
	}
	if found := w.search(w.base, decouple.Sources{}, "albatross"); len(found) != 1 {
		t.Errorf("%q", found)
	}
}

func TestPDFReaderThatFailsIsOneBadFile(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{nil, {"/nonexistent/reader"}, {os.Args[0], "-test.run=^$", "-no-such-flag"}} {
		w := newWorld(t)
		base, err := knowledge.Open(t.Context(), knowledge.Config{Source: w.journal, Writer: w.journal, Index: filepath.Join(t.TempDir(), "i.db"), PDF: argv})
		if err != nil {
			t.Fatal(err)
		}
		w.file("paper.pdf", string(onePagePDF("Albatrosses glide.")))
		sum, err := base.Add(t.Context(), knowledge.Request{Paths: []string{w.docs}})
		if err != nil || len(sum.Skipped) != 1 {
			t.Errorf("%v: %+v, %v", argv, sum, err)
		}
		if err := base.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPDFThatNeedsTooMuchMemoryIsOneBadFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("memory is limited on unix only")
	}
	w := newWorld(t)
	var stream bytes.Buffer
	z := zlib.NewWriter(&stream)
	_, _ = io.WriteString(z, "BT /F1 12 Tf (")
	many := bytes.Repeat([]byte("A"), 1<<20)
	for range 400 {
		_, _ = z.Write(many)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w.file("bomb.pdf", string(onePage("<</Filter/FlateDecode/Length %d>>", stream.String())))
	w.file("good.txt", "Terns fly from one pole to the other and back each year.\n")
	sum := w.add()
	if sum.Added != 1 || len(sum.Skipped) != 1 || !strings.Contains(sum.Skipped[0].Why, "needs more than 512 MB") {
		t.Errorf("%+v", sum)
	}
}

func TestReadOnlyBaseReadsAndRefusesToWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	index := filepath.Join(dir, "notes.db")
	base, err := knowledge.Open(t.Context(), knowledge.Config{Source: store, Writer: store, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = base.Close() }()
	reader, err := sqlite.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	other, err := knowledge.Open(t.Context(), knowledge.Config{Source: reader, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	sum, err := base.Add(t.Context(), knowledge.Request{Stdin: strings.NewReader("Swifts sleep on the wing while they cross the desert."), Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := other.Search(t.Context(), decouple.Sources{AsOf: sum.Position}, decouple.SearchArgs{Query: "swifts"})
	if err != nil || len(r.Units) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := other.Add(t.Context(), knowledge.Request{}); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("a reader added: %v", err)
	}
}

func TestTwoIndexesOfOneFileFoldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.open()
	for i := range 40 {
		w.file(fmt.Sprintf("%02d.txt", i), fmt.Sprintf("Cranes number %d dance before they fly south in autumn.\n", i))
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for range 50 {
			_, e := other.Search(t.Context(), decouple.Sources{}, decouple.SearchArgs{Query: "cranes"})
			err = errors.Join(err, e)
		}
		done <- err
	}()
	sum := w.add()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, b := range []*knowledge.Base{w.base, other} {
		r, err := b.Search(t.Context(), decouple.Sources{AsOf: sum.Position}, decouple.SearchArgs{Query: "cranes dance"})
		if err != nil || r.Passages != 40 || r.Terms[0].Passages != 40 {
			t.Errorf("%d passages, %+v, %v", r.Passages, r.Terms, err)
		}
	}
}

func TestAnswersDoNotDependOnTheOrderOfAdding(t *testing.T) {
	t.Parallel()
	var results []decouple.SearchResult
	for _, reverse := range []bool{false, true} {
		w := newWorld(t)
		for i := range 30 {
			n := i
			if reverse {
				n = 29 - i
			}
			name := fmt.Sprintf("%02d.txt", n)
			w.file(name, fmt.Sprintf("Geese fly in a wedge of %d birds, and each of the geese rests in turn behind number%d.\n", n, n))
			w.add(filepath.Join(w.docs, name))
		}
		r, err := w.base.Search(t.Context(), decouple.Sources{}, decouple.SearchArgs{Query: "geese wedge birds", Limit: 20})
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Units {
			r.Units[i].Path, _ = filepath.Rel(w.docs, r.Units[i].Path)
			r.Units[i].Note = ""
		}
		results = append(results, r)
	}
	if diff := cmp.Diff(results[0], results[1]); diff != "" || len(results[0].Units) == 0 {
		t.Errorf("%s", diff)
	}
}

// onePagePDF is a PDF of one page with one line of text.
func onePagePDF(text string) []byte {
	return onePage("<</Length %d>>", "BT /F1 12 Tf 20 200 Td ("+text+") Tj ET")
}

// onePage is a PDF of one page with that content; dict is the content's dictionary with a place for its length.
func onePage(dict, stream string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var at []int
	for i, s := range []string{"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf(dict, len(stream)) + "\nstream\n" + stream + "\nendstream", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, s)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, p := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", p)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, xref)
	return b.Bytes()
}
