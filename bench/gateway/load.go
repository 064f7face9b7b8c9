package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// request is one chat request for a model, of about size bytes.
func (d *door) request(model, text string, size int, stream bool) *transport.Request {
	more := ""
	if stream {
		more = `"stream":true,"stream_options":{"include_usage":true},`
	}
	head := fmt.Sprintf(`{"model":"%s",%s"max_tokens":200,"messages":[{"role":"system","content":"You are a benchmark."},{"role":"user","content":"bench:%s. `, model, more, text)
	body := head + strings.Repeat("What is the use of it? ", max(1, (size-len(head)-5)/23)) + `"}]}`
	fields := append([]transport.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Accept", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}}, d.low...)
	return &transport.Request{Method: "POST", Target: d.target, Path: d.path(model), Header: fields, Body: []byte(body)}
}

// result is what came of a request.
type result struct {
	status     int
	retryAfter bool
	chunks     int
	whole      bool // the answer came to its proper end
}

var errCut = errors.New("the stream was cut")

// ask asks and reads all; of a stream, each chunk's age goes to chunk.
func (b *bench) ask(ctx context.Context, r *transport.Request, chunk *histogram) (result, error) {
	resp, err := b.client.Do(ctx, r)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = resp.Close() }()
	got := result{status: resp.Status}
	_, got.retryAfter = resp.Header.Lookup("Retry-After")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		_, err := resp.Whole(1 << 20)
		got.whole = err == nil
		return got, err
	}
	err = readStream(resp, &got, chunk)
	return got, err
}

// readStream reads a stream to its end and looks whether it is one.
func readStream(resp *transport.Response, got *result, chunk *histogram) error {
	buf := make([]byte, 8<<10)
	kept, done := 0, false
	for {
		n, err := resp.Read(buf[kept:])
		now := time.Now()
		text := buf[:kept+n]
		for {
			i := bytes.IndexByte(text, '\n')
			if i < 0 {
				break
			}
			line := text[:i]
			text = text[i+1:]
			if at := bytes.Index(line, []byte("t=")); at >= 0 && len(line) > at+21 {
				got.chunks++
				if chunk != nil {
					sent, _ := strconv.ParseInt(string(line[at+2:at+21]), 10, 64)
					chunk.add(now.Sub(time.Unix(0, sent)))
				}
			}
			done = done || bytes.HasPrefix(line, []byte("data: [DONE]"))
		}
		kept = copy(buf, text)
		if err == io.EOF {
			if got.whole = done; !done {
				return errCut
			}
			return nil
		}
		if err != nil {
			return err
		}
		if kept == len(buf) {
			return errors.New("a line of the stream is too long")
		}
	}
}

// closed runs callers that ask again as soon as they have an answer, until the time is over or so many were asked. It gives how many answers a second came, and the processor time of each.
func (b *bench) closed(ctx context.Context, d *door, callers int, span time.Duration, make func() *transport.Request) (persec, cpu float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, span+30*time.Second)
	defer cancel()
	var n, bad atomic.Int64
	var first atomic.Pointer[error]
	before, err := d.proc.cpu()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for r := make(); time.Since(began) < span; {
				got, err := b.ask(ctx, r, nil)
				if err == nil && got.status != 200 {
					err = fmt.Errorf("status %d", got.status)
				}
				if err != nil {
					bad.Add(1)
					first.CompareAndSwap(nil, &err)
					if ctx.Err() != nil {
						return
					}
					continue
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	after, err := d.proc.cpu()
	if err != nil {
		return 0, 0, err
	}
	if bad.Load() > 0 { // a bare ReverseProxy cuts some streams
		err = fmt.Errorf("%s: %d of %d requests failed, the first: %w", d.name, bad.Load(), bad.Load()+n.Load(), *first.Load())
		fmt.Fprintln(os.Stderr, err)
	}
	if bad.Load() > n.Load()/5 {
		return 0, 0, err
	}
	return float64(n.Load()) / took.Seconds(), float64(after-before) / 1e3 / float64(n.Load()), nil
}

// openLoop sends requests at a rate, whether the earlier ones are answered or not, and gives to done what came of each and how long it took since the moment at which it was to be sent.
func (b *bench) openLoop(ctx context.Context, rate float64, span time.Duration, ask func(context.Context) (result, error), done func(result, error, time.Duration)) {
	ctx, cancel := context.WithTimeout(ctx, span+30*time.Second)
	defer cancel()
	work := make(chan time.Time, 1<<16)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(2048, int(rate*2)) {
		wg.Go(func() {
			for due := range work {
				got, err := ask(ctx)
				took := time.Since(due)
				mu.Lock()
				done(got, err, took)
				mu.Unlock()
			}
		})
	}
	runtime.LockOSThread() // a thread that sleeps by itself is on time; the runtime's timers are late by up to a millisecond
	defer runtime.UnlockOSThread()
	due, step := time.Now(), time.Duration(float64(time.Second)/rate)
	for end := due.Add(span); due.Before(end) && ctx.Err() == nil; due = due.Add(step) {
		if wait := time.Until(due); wait > 0 {
			ts := syscall.NsecToTimespec(int64(wait))
			_ = syscall.Nanosleep(&ts, nil)
		}
		select {
		case work <- due:
		default: // so many are open that more would say nothing
		}
	}
	close(work)
	wg.Wait()
}
