package placement_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"decouple.dev/decouple/placement"
)

// large is a book of 200 clauses of all kinds that decide, and fifty endpoints.
func large(tb testing.TB) (placement.Book, []placement.Place) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	var book placement.Book
	for i := range 8 {
		book.Contracts = append(book.Contracts, d.contract(tb, fmt.Sprintf("c%d", i), deciders(), 25))
	}
	places := make([]placement.Place, 50)
	for i := range places {
		p := d.place()
		p.ID = fmt.Sprintf("%s/%s/%d", p.Vendor, p.Region, i)
		places[i] = p
	}
	return book, places
}

// cpu reports the time that the processor took: on a machine that others use too, the clock says little.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkWarm is a decision over fifty endpoints under 200 clauses that was made before.
func BenchmarkWarm(b *testing.B) {
	book, places := large(b)
	p := policy(b, book, at(b, "2026-06-15", ""))
	n := placement.Need{Action: placement.CallModel, Class: "stateless_api", Team: "legal", Labels: []string{"personal"}, Agent: "clerk"}
	for i := range places {
		p.Judge(&n, &places[i])
	}
	defer cpu(b)()
	for b.Loop() {
		for i := range places {
			p.Judge(&n, &places[i])
		}
	}
}

// BenchmarkFirst is the same of a policy that was never asked; compiling is not counted. It wants -benchtime 100x.
func BenchmarkFirst(b *testing.B) {
	book, places := large(b)
	n := placement.Need{Action: placement.CallModel, Class: "stateless_api", Team: "legal", Labels: []string{"personal"}, Agent: "clerk"}
	fresh := make([]*placement.Policy, 100)
	for i := range fresh {
		fresh[i] = policy(b, book, at(b, "2026-06-15", ""))
	}
	runtime.GC()
	b.ResetTimer()
	defer cpu(b)()
	for i := range b.N {
		if i == len(fresh) {
			b.Fatalf("at most -benchtime %dx", len(fresh))
		}
		for j := range places {
			fresh[i].Judge(&n, &places[j])
		}
	}
}

// BenchmarkCompile is making a policy of 200 clauses.
func BenchmarkCompile(b *testing.B) {
	book, _ := large(b)
	m := at(b, "2026-06-15", "")
	defer cpu(b)()
	for b.Loop() {
		policy(b, book, m)
	}
}

// TestMemoryIsBounded asks about more needs than are remembered, from several sides at once.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	book := placement.Book{Contracts: read(t, customer)}
	p := policy(t, book, at(t, "2026-11-30", ""))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range placement.MostRemembered / 2 {
				n := call("class"+fmt.Sprint(i*4+w), "engineering", "personal")
				if r := p.Judge(&n, &bedrock); r.Verdict != placement.Deny {
					t.Errorf("%+v", r)
					return
				}
			}
		})
	}
	wg.Wait()
	before := p.Remembered()
	long := call(strings.Repeat("x", 2000), "engineering", "personal")
	if r := p.Judge(&long, &bedrock); r.Verdict != placement.Deny || p.Remembered() != before {
		t.Errorf("a need of 2,000 bytes was remembered, or judged %s", r.Verdict)
	}
	if got := p.Remembered(); got > placement.MostRemembered || got < placement.MostRemembered/4 {
		t.Errorf("%d rulings are kept, and at most %d are to be", got, placement.MostRemembered)
	}
}

// TestDocs: what docs/contracts.md shows as a file is one.
func TestDocs(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/contracts.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, part := range strings.Split(string(b), "```") {
		text, yaml := strings.CutPrefix(part, "yaml\n")
		if i%2 == 0 || !yaml || strings.HasPrefix(text, "    ") {
			continue
		}
		n++
		switch {
		case strings.HasPrefix(text, "  - "):
			text = head + text
		case !strings.HasPrefix(text, "id:"):
			text = "id: c\nconfidence: signed\n" + text
		}
		if _, err := placement.Parse(fmt.Sprintf("block %d", n), []byte(text)); err != nil {
			t.Error(err)
		}
	}
	if n < 7 {
		t.Errorf("there are %d examples", n)
	}
}
