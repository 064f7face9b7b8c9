package ledger_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"decouple.dev/decouple/gateway/ledger"
)

// cpu is what this process has used, in user and system time.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCall is a whole call: begin, attempt, settle, with no budget and with four, by one caller and by many; and the same with the journaling of it in
// SQLite, which goes on beside the calls.
func BenchmarkCall(b *testing.B) {
	for _, c := range []struct {
		budgets, callers int
		journal          time.Duration
	}{{0, 1, time.Hour}, {4, 1, time.Hour}, {4, 64, time.Hour}, {4, 64, time.Second}} {
		budgets, callers := c.budgets, c.callers
		b.Run(fmt.Sprintf("budgets=%d/callers=%d/journaled=%t", budgets, callers, c.journal == time.Second), func(b *testing.B) {
			store := openStore(b, b.TempDir())
			l, err := ledger.Open(ledger.Config{Dir: b.TempDir(), Store: store, Journal: c.journal, Batch: int(c.journal/time.Millisecond) * 2})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			for i, scope := range []ledger.Scope{ledger.ForTenant, ledger.ForKey, ledger.ForTeam, ledger.ForAgent}[:budgets] {
				name := []string{"", "k1", "search", "researcher"}[i]
				if err := l.SetBudget(b.Context(), ledger.Budget{ID: string(scope), Tenant: "acme", Scope: scope, Name: name, Period: ledger.Day, Limit: ledger.Amount{USD: 1 << 60, Tokens: 1 << 60}}, by); err != nil {
					b.Fatal(err)
				}
			}
			s := used("azure/swedencentral/gpt-5.4", 1200, 300, 12345)
			var n atomic.Int64
			one := func() {
				c := call(strconv.FormatInt(n.Add(1), 36), 50_000, 4096)
				e, err := l.Begin(b.Context(), c)
				if err == nil {
					err = e.Attempt(b.Context(), "azure/swedencentral/gpt-5.4", "gpt-5.4", ledger.Amount{})
				}
				if err == nil {
					err = e.Settle(s)
				}
				if err != nil {
					b.Error(err)
				}
			}
			one()
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			defer func() {
				if c.journal == time.Second {
					if err := l.Flush(b.Context()); err != nil {
						b.Error(err)
					}
				}
				b.ReportMetric(float64(cpu(b)-before)/float64(n.Load()-1), "cpu-ns/op")
			}()
			if callers == 1 {
				for b.Loop() {
					one()
				}
				return
			}
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
}
