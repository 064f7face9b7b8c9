package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// child is a process that serves.
type child struct {
	cmd     *exec.Cmd
	address string
	in      io.Closer
	done    chan struct{}
}

// play is the life of a child that is this program: it serves until its standard input ends.
func play(role string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if role == "upstream" {
		return newStandIn().serve(l)
	}
	to, err := url.Parse(os.Getenv("BENCH_UPSTREAM"))
	if err != nil {
		return err
	}
	t := &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 8192, DisableCompression: true}
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: t, ErrorLog: log.New(io.Discard, "", 0), ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	return (&http.Server{Handler: p, ReadHeaderTimeout: time.Minute}).Serve(l)
}

// spawn starts this program in a role.
func spawn(role string, env ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), append(env, "BENCH_ROLE="+role)...)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.in = in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	go c.wait()
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("%s did not start: %w", role, err)
	}
	c.address = strings.TrimSpace(line)
	return c, nil
}

func (c *child) wait() {
	_ = c.cmd.Wait()
	close(c.done)
}

// stop ends it by its pid.
func (c *child) stop() {
	if c == nil {
		return
	}
	if c.in != nil {
		_ = c.in.Close()
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// cpu is the processor time that it has used.
func (c *child) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err // USER_HZ is 100 wherever Go runs on Linux
}

// rss is its resident memory in kB.
func (c *child) rss() float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return n
		}
	}
	return 0
}

// start starts all children.
func (b *bench) start(ctx context.Context, dir string) error {
	up, err := spawn("upstream")
	if err != nil {
		return err
	}
	b.up = up
	if err := b.enter(&door{name: direct, proc: up, path: standInPath}); err != nil {
		return err
	}
	rev, err := spawn("reverse", "BENCH_UPSTREAM=http://"+up.address)
	if err != nil {
		return err
	}
	if err := b.enter(&door{name: proxy, proc: rev, path: standInPath}); err != nil {
		return err
	}
	if b.decouple == "" {
		return nil
	}
	d, err := startGateway(ctx, b.decouple, filepath.Join(dir, "decouple"), up.address)
	if d != nil {
		if e := b.enter(d); e != nil {
			return e
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "without the gateway, which does not start:", err)
	}
	return nil
}

// enter puts a door among those that are measured.
func (b *bench) enter(d *door) (err error) {
	b.doors = append(b.doors, d)
	d.target, err = transport.NewTarget("http://" + d.proc.address)
	return err
}
