package ledger_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple/gateway/ledger"
)

// BenchmarkCall is a whole call: begin, attempt, settle, with no budget and with four, by one caller and by many.
func BenchmarkCall(b *testing.B) {
	for _, budgets := range []int{0, 4} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("budgets=%d/callers=%d", budgets, callers), func(b *testing.B) {
				store := openStore(b, b.TempDir())
				l, err := ledger.Open(ledger.Config{Dir: b.TempDir(), Store: store, Journal: time.Hour, Batch: 1 << 30})
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
}
