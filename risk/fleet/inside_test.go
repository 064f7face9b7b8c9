package fleet

import (
	"math"
	"slices"
	"testing"
	"time"
)

// TestCalendar wants what happens to happen in order, and what happens at once in the order in which it was noted.
func TestCalendar(t *testing.T) {
	t.Parallel()
	var c calendar
	d := dice{1}
	for i := range 5000 {
		c.add(entry{at: int64(d.next() % 100), ref: int32(i)})
		if i%3 == 0 {
			c.take()
		}
	}
	last, ok := c.take()
	for ok {
		next, more := c.take()
		if more && (next.at < last.at || next.at == last.at && next.seq < last.seq) {
			t.Fatalf("%d of %d comes after %d of %d", next.seq, next.at, last.seq, last.at)
		}
		last, ok = next, more
	}
}

// TestHistogram wants quantiles to within three hundredths, and exact means.
func TestHistogram(t *testing.T) {
	t.Parallel()
	d := dice{2}
	var h, part, rest Histogram
	var all []time.Duration
	sum := 0.0
	spread := Spread{Shape: LogNormal, A: 2e8, B: 9e10}
	for i := range 50_000 {
		v := time.Duration(spread.draw(&d))
		all = append(all, v)
		sum += float64(v)
		h.Add(v)
		if i%2 == 0 {
			part.Add(v)
		} else {
			rest.Add(v)
		}
	}
	slices.Sort(all)
	part.Merge(&rest)
	for _, x := range []*Histogram{&h, &part} {
		for _, q := range []float64{0.01, 0.5, 0.9, 0.95, 0.99, 0.999} {
			want := float64(all[int(q*float64(len(all)))])
			if got := float64(x.Quantile(q)); math.Abs(got-want) > 0.035*want {
				t.Errorf("the quantile %v is %v, want %v", q, time.Duration(got), time.Duration(want))
			}
		}
		if math.Abs(float64(x.Mean())-sum/50_000) > 1000 || x.Max() != all[len(all)-1] || x.Count() != 50_000 || x.Quantile(1) > x.Max() {
			t.Errorf("the mean is %v, the longest %v, of %d", x.Mean(), x.Max(), x.Count())
		}
	}
	for _, v := range []time.Duration{0, 1, 1 << 10, 1<<15 - 1, 1 << 15, time.Hour, math.MaxInt64} {
		if c := classOf(v); v < edge(c) || edge(c+1) > 0 && v >= edge(c+1) {
			t.Errorf("%d is in the class from %d to %d", v, edge(c), edge(c+1))
		}
	}
	if (&Histogram{}).Times() != (Times{}) {
		t.Error("of nothing there are times")
	}
}

// TestSpreads wants what is drawn to have the mean and the quantiles that were asked for.
func TestSpreads(t *testing.T) {
	t.Parallel()
	for _, s := range []Spread{Always(700), {LogNormal, 500, 2000}, {Exponential, 800, 0}, {Uniform, 100, 900}, {LogNormal, 500, 500}} {
		d := dice{3}
		var all []int64
		sum := 0.0
		for range 200_000 {
			v := s.draw(&d)
			all = append(all, v)
			sum += float64(v)
		}
		if got := sum / 200_000; math.Abs(got-s.mean()) > 0.02*s.mean() {
			t.Errorf("%+v has the mean %.1f, want %.1f", s, got, s.mean())
		}
		slices.Sort(all)
		if q := float64(all[190_000]); s.Shape == LogNormal && (math.Abs(q-s.B) > 0.03*s.B || math.Abs(float64(all[100_000])-s.A) > 0.03*s.A) {
			t.Errorf("%+v has the median %d and 95 of 100 at most %.0f", s, all[100_000], q)
		}
	}
}

// TestArrivals wants every pattern to have its mean rate, and its shape.
func TestArrivals(t *testing.T) {
	t.Parallel()
	for _, a := range []Arrival{{Rate: 2}, {Rate: 2, Pattern: Steady}, {Rate: 2, Pattern: Burst}, {Rate: 2, Pattern: Daily}} {
		a := a.filled()
		d := dice{4}
		n, inside := 0, 0
		for at := a.next(0, 0, &d); at < day; at = a.next(at, 0, &d) {
			n++
			switch a.Pattern {
			case Burst:
				if math.Mod(at, float64(a.Every)) < float64(a.For) {
					inside++
				}
			case Daily: // in the half of the day around its peak
				if math.Abs(at-float64(a.Peak)) < day/4 {
					inside++
				}
			}
		}
		if want := 2 * 86400; math.Abs(float64(n-want)) > 0.015*float64(want) {
			t.Errorf("%s: %d runs a day, want %d", a.Pattern, n, want)
		}
		share := float64(inside) / float64(n)
		if a.Pattern == Burst && math.Abs(share-0.5) > 0.02 || a.Pattern == Daily && math.Abs(share-(0.5+a.Swing/math.Pi)) > 0.02 {
			t.Errorf("%s: %.3f of the runs come when most do", a.Pattern, share)
		}
	}
}

// TestSlicesWiden wants a long simulation to have few slices of time, and nothing lost in them.
func TestSlicesWiden(t *testing.T) {
	t.Parallel()
	b := books{rows: make([]row, 1), targets: 1, width: 10, grain: int64(time.Second)}
	w := &work{row: &b.rows[0]}
	for i := range int64(5000) {
		b.good(w, 10*i)
		b.waits(w, int(i), 10*i)
	}
	n := int64(0)
	for _, s := range b.slices {
		n += s.works[0].OK
	}
	if n != 5000 || len(b.slices) > mostSlices || b.width != 80 || b.slices[len(b.slices)-1].works[0].Waiting != 4999 {
		t.Errorf("%d calls in %d slices of %d", n, len(b.slices), b.width)
	}
}

// TestRecovered wants recovery to be told by the calls that follow.
func TestRecovered(t *testing.T) {
	t.Parallel()
	of := func(bad func(second int) bool) *Workloads {
		w := &Workloads{grain: time.Second}
		for i := range 600 {
			g := grain{n: 10}
			if bad(i) {
				g.bad = 5
			}
			w.grains = append(w.grains, g)
		}
		return w
	}
	for _, tt := range []struct {
		name string
		bad  func(int) bool
		want time.Duration
		back bool
	}{
		{"nothing", func(int) bool { return false }, 0, true},
		{"before", func(i int) bool { return i < 50 }, 0, true},
		{"twenty seconds", func(i int) bool { return i >= 100 && i < 120 }, 18 * time.Second, true}, // of the thirty that follow the last two seconds few are bad
		{"one later second", func(i int) bool { return i >= 100 && i < 120 || i == 300 }, 18 * time.Second, true},
		{"a relapse", func(i int) bool { return i >= 100 && i < 120 || i >= 300 && i < 310 }, 208 * time.Second, true},
		{"for ever", func(i int) bool { return i >= 100 }, 500 * time.Second, false},
	} {
		if got, back := of(tt.bad).Recovered(100 * time.Second); (got-tt.want).Abs() > 2*time.Second || back != tt.back {
			t.Errorf("%s: it was back after %s (%v), want %s", tt.name, got, back, tt.want)
		}
	}
}
