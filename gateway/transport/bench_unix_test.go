//go:build unix

package transport

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test program a server of its own, so that what a server uses is not counted as the client's.
func TestMain(m *testing.M) {
	if os.Getenv("TRANSPORT_SERVE") != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

// serve answers every request with 1 kB until its standard input ends.
func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nX-Request-Id: req_0123456789\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				in := bufio.NewReaderSize(c, 64<<10)
				for {
					size, left := 0, -1
					for left != 0 {
						line, err := in.ReadSlice('\n')
						if err != nil {
							return
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							_, _ = fmt.Sscan(string(v), &size)
						}
						left = len(bytes.TrimRight(line, "\r\n"))
					}
					if _, err := in.Discard(size); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// upstream starts serve in a process of its own.
func upstream(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TRANSPORT_SERVE=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

// cpu is the processor time of this process, in microseconds.
func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}

// BenchmarkRequest compares a request with a body and an answer of 1 kB over loopback; us-cpu/op is the processor time of the client's process alone.
func BenchmarkRequest(b *testing.B) {
	url := upstream(b)
	body := bytes.Repeat([]byte("y"), 1000)
	ours := New(Config{})
	defer ours.CloseIdle()
	to, err := NewTarget(url)
	if err != nil {
		b.Fatal(err)
	}
	fields := []Field{{"Authorization", "Bearer sk-0123456789"}, {"Content-Type", "application/json"}, {"Accept", "application/json"}}
	theirs := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}
	defer theirs.CloseIdleConnections()
	for _, way := range []struct {
		name string
		ask  func(ctx context.Context) error
	}{
		{"transport", func(ctx context.Context) error {
			resp, err := ours.Do(ctx, &Request{Method: "POST", Target: to, Path: "/v1/chat/completions", Header: fields, Body: body})
			if err != nil {
				return err
			}
			if _, err := resp.Whole(1 << 20); err != nil {
				return err
			}
			return resp.Close()
		}},
		{"net-http", func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions", bytes.NewReader(body))
			if err != nil {
				return err
			}
			for _, f := range fields {
				req.Header.Set(f.Name, f.Value)
			}
			resp, err := theirs.RoundTrip(req)
			if err != nil {
				return err
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				return err
			}
			return resp.Body.Close()
		}},
	} {
		for _, callers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/callers=%d", way.name, callers), func(b *testing.B) {
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				b.ReportAllocs()
				b.SetParallelism(callers)
				before := cpu()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := way.ask(ctx); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric((cpu()-before)/float64(b.N), "us-cpu/op")
			})
		}
	}
}
