package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/sqlite"
	"github.com/spf13/cobra"
)

// benchmark is one figure's measurement: it runs once in an empty folder and says what it saw.
type benchmark struct {
	name, short string
	runs        int
	run         func(ctx context.Context, at place) (figures, error)
	shared      bool // it can be measured on a shared journal too
}

// place is where a benchmark keeps its journal: a folder, or a database of its own that many nodes share.
type place struct {
	dir   string
	url   string
	nodes int
}

// figures are what one run of a benchmark measured, by name.
type figures map[string]float64

// benchmarks is the list that `decouple bench` offers.
func benchmarks() []benchmark {
	return []benchmark{
		{"steps", "one run of 1,000 steps: what a durable step takes", 5, benchSteps, true},
		{"tree", "364 agents, 1,092 steps: depth 5, fan-out 3, each three steps, the third after its children", 9, benchTree, true},
		{"throughput", "200 runs at once, 10 steps each", 9, benchThroughput, true},
		{"loop", "from the arrival of an answer to the departure of the next request", 5, benchLoop, true},
		{"large", "11,111 agents: depth 4, fan-out 10, and how long a run of one takes that is begun in the middle", 3, benchLarge, true},
		{"watchers", "1,000 live streams of one run of 300 steps, ten of which read nothing until it has ended", 3, benchWatchers, true},
		{"parked", "100,000 parked runs: memory, time to start, time to wake one", 1, benchParked, true},
		{"index", "5,000 documents into the notes", 1, benchIndex, false},
		{"exit", "a bundle of 10,000 runs: written, verified, imported, and proved to be equal", 1, benchExit, false},
		{"query", "searches over 5,000 documents", 1, benchQuery, false},
		{"simulate", "a fleet in virtual time: 100,000, 300,000 and 1,000,000 model calls", 3, benchSimulate, false},
		{"placement", "a decision over 50 endpoints under 200 clauses: the first, and those that follow", 3, benchPlacement, false},
	}
}

// newBench makes `decouple bench`.
func newBench(a *app) *cobra.Command {
	var asJSON bool
	var data string
	var runs, nodes int
	var names []string
	for _, b := range benchmarks() {
		names = append(names, b.name)
	}
	c := &cobra.Command{
		Use:       "bench [" + strings.Join(names, "|") + "]...",
		Short:     "Measure the speed that is promised, on this machine's disk",
		Long:      benchHelp(),
		ValidArgs: names,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			url, err := a.shared()
			if err != nil {
				return err
			}
			if nodes < 1 || nodes > 1 && url == "" {
				return decouple.Errorf(decouple.Invalid, "--nodes needs a journal that nodes can share: give --store postgres://...")
			}
			for _, b := range benchmarks() {
				named := slices.Contains(args, b.name)
				if len(args) > 0 && !named || url != "" && !b.shared && !named {
					continue
				}
				if url != "" && !b.shared {
					return decouple.Errorf(decouple.Invalid, "bench %s measures SQLite and the notes only: leave --store out", b.name)
				}
				if err := measure(cmd.Context(), b, place{data, url, nodes}, runs, asJSON, cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each benchmark")
	c.Flags().StringVar(&data, "data", "", "measure the disk of this folder; a temporary folder is made in it and removed (default: the present folder)")
	c.Flags().IntVar(&nodes, "nodes", 1, "nodes that share the work, all in this process (with --store)")
	c.Flags().IntVar(&runs, "runs", 0, "how often to run each (default: 1 to 9, as the benchmark needs)")
	return c
}

func benchHelp() string {
	var b strings.Builder
	b.WriteString("Measures with the journal and the engine that runs agents, a model and a tool that do nothing, and a synced disk.\n" +
		"The disk's own fdatasync is measured in the same run. Figures are medians; min and max over the runs stand beside them.\n\n")
	for _, m := range benchmarks() {
		fmt.Fprintf(&b, "  %-11s %s\n", m.name, m.short)
	}
	return b.String()
}

// measure runs a benchmark as often as it needs and prints the median of every figure.
func measure(ctx context.Context, b benchmark, at place, runs int, asJSON bool, out io.Writer) error {
	if runs <= 0 {
		runs = b.runs
	}
	if at.dir == "" {
		at.dir = "."
	}
	var all []figures
	for range runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := once(ctx, b, at)
		if err != nil {
			return fmt.Errorf("bench %s: %w", b.name, err)
		}
		all = append(all, f)
	}
	low, mid, high := figures{}, figures{}, figures{}
	for k := range all[0] {
		var v []float64
		for _, f := range all {
			v = append(v, f[k])
		}
		slices.Sort(v)
		low[k], mid[k], high[k] = v[0], v[len(v)/2], v[len(v)-1]
	}
	if asJSON {
		return json.NewEncoder(out).Encode(benchReport(b, at, runs, low, mid, high))
	}
	fmt.Fprintf(out, "%s: %s\n  %s, %s; %d runs\n", b.name, b.short, at.store(), at.durability(), runs)
	for _, k := range slices.Sorted(maps.Keys(mid)) {
		fmt.Fprintf(out, "  %-22s %12s   (%s to %s)\n", k, digits(mid[k]), digits(low[k]), digits(high[k]))
	}
	return nil
}

func digits(f float64) string {
	if f == float64(int64(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'f', 3, 64)
}

// benchReport is the JSON form: medians at the top, and min, median and max of every figure.
func benchReport(b benchmark, at place, runs int, low, mid, high figures) map[string]any {
	r := map[string]any{
		"bench": b.name, "store": at.store(), "durability": at.durability(), "nodes": at.nodes, "runs": runs,
		"min": low, "median": mid, "max": high,
	}
	for k, v := range mid {
		r[k] = v
	}
	return r
}

// once runs a benchmark in a folder of its own and adds what every benchmark says: the disk, memory, and CPU for each step.
func once(ctx context.Context, b benchmark, at place) (figures, error) {
	dir, err := os.MkdirTemp(at.dir, ".decouple-bench-")
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "no folder for the benchmark can be made: %w; give one with --data", err)
	}
	defer os.RemoveAll(dir)
	disk, err := diskSync(dir)
	if err != nil {
		return nil, err
	}
	at.dir = dir
	f, err := b.run(ctx, at)
	if err != nil {
		return nil, err
	}
	f["fdatasync_p50_us"] = disk
	if _, ok := f["rss_mb"]; !ok {
		f["rss_mb"] = residentMB()
	}
	if p50, ok := f["step_p50_us"]; ok {
		f["step_to_fdatasync"] = p50 / disk
	}
	return f, nil
}

// diskSync is the median time of fdatasync after a write of 4 kB into a file that has its size already.
func diskSync(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const pages, rounds = 256, 400
	page := make([]byte, 4096)
	if _, err := f.Write(make([]byte, pages*len(page))); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	var took []time.Duration
	for i := range rounds {
		page[0] = byte(i)
		if _, err := f.WriteAt(page, int64(i%pages*len(page))); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := sqlite.Datasync(f); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return micros(percentile(took, 50)), nil
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)*p/100, len(d)-1)]
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMB is the memory of this process that is in RAM now.
func residentMB() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
