package route_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/gateway/route"
)

// TestQueueOverload offers ten times what can be served. The calls of the high class wait little, those of the low class are served at times and else refused honestly, and the queue stays
// within its bound.
func TestQueueOverload(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	q := route.NewQueue(route.QueueConfig{Max: 200, Wait: 10 * time.Second})
	came := map[string]time.Time{}
	var high []time.Duration
	served := map[string]int{}
	lost := map[string]int{}
	now := start
	for i := range 60_000 { // a millisecond each: one call comes with each, and one is served in ten
		now = now.Add(time.Millisecond)
		n := route.Need{Tenant: fmt.Sprint("t", r.IntN(5)), Key: fmt.Sprint("k", r.IntN(3)), TokensIn: int64(r.IntN(2000))}
		id := fmt.Sprint("low", i)
		if r.IntN(20) == 0 {
			n.Priority, id = 5, fmt.Sprint("high", i)
		}
		p := q.Enqueue(id, n, now)
		if p.Refused != "" && p.RetryAfter < time.Second {
			t.Fatalf("refused without a time: %+v", p)
		}
		for _, lostID := range []string{p.Evicted, map[bool]string{true: id}[p.Refused != ""]} {
			if lostID != "" {
				lost[strings.TrimRight(lostID, "0123456789")]++
			}
		}
		if p.Refused == "" {
			came[id] = now
		}
		for _, x := range q.Expire(now) {
			lost[strings.TrimRight(x, "0123456789")]++
		}
		if q.Len() > 200 {
			t.Fatalf("%d wait", q.Len())
		}
		if i%10 != 9 {
			continue
		}
		if got, _, ok := q.Next(now, func(string, *route.Need) bool { return true }); ok {
			class := strings.TrimRight(got, "0123456789")
			served[class]++
			if class == "high" {
				high = append(high, now.Sub(came[got]))
			}
		}
	}
	slices.Sort(high)
	p99 := high[len(high)*99/100]
	t.Logf("served %v, lost %v; of the high class p50 %s, p99 %s", served, lost, high[len(high)/2], p99)
	if lost["high"] > 0 {
		t.Errorf("%d calls of the high class were lost", lost["high"])
	}
	if p99 > 500*time.Millisecond {
		t.Errorf("p99 of the high class is %s", p99)
	}
	if served["low"] < 6000/16 {
		t.Errorf("%d calls of the low class were served", served["low"])
	}
}

// TestQueueFairness has one tenant flood and four behave: each gets its share of tokens, whatever it sends, and so do keys within a tenant.
func TestQueueFairness(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 5))
		q := route.NewQueue(route.QueueConfig{Max: 500, Wait: time.Hour})
		tokens := map[string]int64{}
		last := map[string]int{}
		n := 0
		add := func(tenant, key string, size int64) {
			n++
			q.Enqueue(fmt.Sprint(n), route.Need{Tenant: tenant, Key: key, TokensIn: size}, start)
		}
		for turn := range 5000 {
			for range 10 {
				add("flood", fmt.Sprint(r.IntN(2)), int64(r.IntN(9000)))
			}
			for i := range 4 {
				if r.IntN(2) == 0 {
					add(fmt.Sprint("quiet", i), "k", int64(r.IntN(1000*(i+1))))
				}
			}
			_, need, ok := q.Next(start, func(string, *route.Need) bool { return r.IntN(10) > 0 })
			if !ok {
				continue
			}
			tokens[need.Tenant] += need.TokensIn + 800
			last[need.Tenant] = turn
			for i := range 4 {
				if turn > 500 && turn-last[fmt.Sprint("quiet", i)] > 200 {
					t.Fatalf("seed %d: quiet%d was not served for 200 turns", seed, i)
				}
			}
		}
		for i := range 4 {
			if share := float64(tokens[fmt.Sprint("quiet", i)]) / float64(tokens["flood"]); share < 0.8 || share > 1.25 {
				t.Errorf("seed %d: quiet%d got %.2f of the flood's tokens: %v", seed, i, share, tokens)
			}
		}
	}
}

// TestQueueDropsEverything empties a queue by all ways at once and finds nothing left behind.
func TestQueueDropsEverything(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	q := route.NewQueue(route.QueueConfig{Max: 50})
	gone := map[string]int{}
	var ids []string
	now := start
	for i := range 5000 {
		now = now.Add(time.Duration(r.IntN(100)) * time.Millisecond)
		id := fmt.Sprint(i)
		n := route.Need{Tenant: fmt.Sprint(r.IntN(4)), Key: fmt.Sprint(r.IntN(3)), Priority: r.IntN(3), Deadline: now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)}
		p := q.Enqueue(id, n, now)
		ids = append(ids, id)
		if p.Refused != "" {
			gone[id]++
		}
		if p.Evicted != "" {
			gone[p.Evicted]++
		}
		switch r.IntN(4) {
		case 0:
			if x := ids[r.IntN(len(ids))]; q.Drop(x) {
				gone[x]++
			}
		case 1:
			if x, _, ok := q.Next(now, func(string, *route.Need) bool { return r.IntN(2) == 0 }); ok {
				gone[x]++
			}
		}
		for _, x := range q.Expire(now) {
			gone[x]++
		}
		if w := q.Wake(); !w.IsZero() && !w.After(now) {
			t.Fatalf("it wakes at %s, which is over at %s", w, now)
		}
	}
	for _, x := range q.Expire(now.Add(time.Hour)) {
		gone[x]++
	}
	if q.Len() != 0 || !q.Wake().IsZero() || len(gone) != len(ids) {
		t.Errorf("%d left, %d of %d accounted for", q.Len(), len(gone), len(ids))
	}
	for id, n := range gone {
		if n != 1 {
			t.Errorf("%s left %d times", id, n)
		}
	}
}
