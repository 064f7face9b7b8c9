package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal/sqlite"
)

// BenchmarkDoor asks through a whole gateway with its ledger; body and answer go over loopback.
func BenchmarkDoor(b *testing.B) {
	events := []string{role}
	for range 50 {
		events = append(events, chunk("a word or two"))
	}
	answered := map[string]http.HandlerFunc{"1kB": status(200, whole), "100kB": status(200, whole), "stream": stream(append(events, stop, usage, end)...)}
	for name, size := range map[string]int{"1kB": 1 << 10, "100kB": 100 << 10, "stream": 1 << 10} {
		b.Run(name, func(b *testing.B) {
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				answered[name](w, r)
			}))
			defer up.Close()
			store, err := sqlite.Open(context.Background(), sqlite.Config{Dir: filepath.Join(b.TempDir(), "j")})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			books, err := ledger.Open(ledger.Config{Dir: b.TempDir(), Store: store})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = books.Close() }()
			g := open(b, func(c *gateway.Config) { c.Ledger = books }, at("one", up.URL))
			front := httptest.NewServer(g)
			defer front.Close()
			body := []byte(`{"model":"smart","stream":` + strconv.FormatBool(name == "stream") + `,"messages":[{"role":"user","content":"` + strings.Repeat("hello wo", size/8) + `"}]}`)
			client := front.Client()
			client.Transport.(*http.Transport).MaxIdleConnsPerHost = 100
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest(http.MethodPost, front.URL+"/v1/chat/completions", bytes.NewReader(body))
					req.Header.Set("Authorization", "Bearer door")
					resp, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
}
