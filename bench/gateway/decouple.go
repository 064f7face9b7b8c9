package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// The models that are asked for. Each is an account of the gateway with a URL of its own at the stand-in, whose behaviour is in the path.
const (
	plainModel   = "bench"         // answers
	instantModel = "bench-instant" // answers before it has read the request
	narrowModel  = "bench-narrow"  // works on ten requests at once, refuses more
	refusing     = "bench-refused" // nobody listens
	busy         = "bench-429"
	broken       = "bench-500"
	slowBroken   = "bench-500-late" // after 30 ms
)

// narrow is how many requests narrowModel works on at once.
const narrow = 10

func failing() []string { return []string{refusing, busy, broken, slowBroken} }

// standInPath is where the stand-in behaves as a model.
func standInPath(model string) string { return "/" + model + "/v1/chat/completions" }

// over is the alias that asks a failing model first and then plainModel.
func over(model string) string { return "over-" + model }

// writeConfig writes the gateway's config file and says with which environment and further arguments to start it. It is the one place that knows the format.
func writeConfig(dir, upstream string) (env, args []string, err error) {
	closed, err := net.Listen("tcp", "127.0.0.1:0") // a port at which nobody listens any more
	if err != nil {
		return nil, nil, err
	}
	_ = closed.Close()
	var accounts, models, prices, aliases strings.Builder
	for _, m := range append([]string{plainModel, instantModel, narrowModel}, failing()...) {
		at := upstream
		if m == refusing {
			at = closed.Addr().String()
		}
		fmt.Fprintf(&accounts, "    - {name: %s, provider: compatible, url: \"http://%s/%s/v1\", key: \"env:BENCH_KEY\", models: {%s: %s}}\n", m, at, m, m, m)
		fmt.Fprintf(&models, "      %s: {context: 200k, can: [tools]}\n", m)
		fmt.Fprintf(&prices, "      compatible/%s: [{in: 1, out: 4}]\n", m)
	}
	for _, m := range failing() {
		fmt.Fprintf(&aliases, "      %s: {strategy: ordered, targets: [%s, %s]}\n", over(m), m, plainModel)
	}
	limits := fmt.Sprintf("    endpoints:\n      %s/%s: {limits: {concurrent: %d}}\n", narrowModel, narrowModel, narrow-1) // the stand-in still counts one for a moment whose answer has come
	text := "gateway:\n  discover: false\n  accounts:\n" + accounts.String() + "  catalog:\n    models:\n" + models.String() + "    prices:\n" + prices.String() + limits + "    aliases:\n" + aliases.String()
	file := filepath.Join(dir, "decouple.yaml")
	return []string{"BENCH_KEY=sk-bench", "DECOUPLE_CONFIG=" + file}, []string{"--data", filepath.Join(dir, "data")}, os.WriteFile(file, []byte(text), 0o600)
}

// startGateway starts the gateway and waits until it answers.
func startGateway(ctx context.Context, command, dir, upstream string) (*door, error) {
	words := strings.Fields(command)
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	env, args, err := writeConfig(dir, upstream)
	if err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	_ = free.Close()
	c := &child{cmd: exec.Command(words[0], append(append(words[1:], args...), "--listen", address)...), address: address, done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	errs, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	said, key := listen(errs)
	go c.wait()
	d := &door{name: ours, proc: c, path: func(string) string { return "/v1/chat/completions" }}
	select {
	case d.low = <-key:
		if d.low, d.high, err = keys(words[0], env, address, d.low); err != nil {
			c.stop()
			return nil, err
		}
	case <-c.done:
		return nil, fmt.Errorf("it ended: %s", strings.Join(<-said, " "))
	case <-ctx.Done():
		return d, ctx.Err()
	case <-time.After(20 * time.Second):
		c.stop()
		return nil, fmt.Errorf("it shows no key: %s", strings.Join(<-said, " "))
	}
	for range 200 {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return d, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return d, fmt.Errorf("nobody listens at %s", address)
}

// listen reads what the gateway says: its first key, and all lines at its end.
func listen(errs io.Reader) (said chan []string, key chan []transport.Field) {
	said, key = make(chan []string, 1), make(chan []transport.Field, 1)
	go func() {
		var lines []string
		for s := bufio.NewScanner(errs); s.Scan(); {
			line := strings.TrimSpace(s.Text())
			if len(lines) < 40 {
				lines = append(lines, line)
			}
			if strings.HasPrefix(line, "dck_") {
				key <- []transport.Field{{Name: "Authorization", Value: "Bearer " + line}}
			}
		}
		said <- lines
	}()
	return said, key
}

// keys makes the keys that the load comes with: both with a budget and a rate, one of high priority.
func keys(program string, env []string, address string, first []transport.Field) (low, high []transport.Field, err error) {
	owner := strings.TrimPrefix(first[0].Value, "Bearer ")
	make := func(name, priority string) ([]transport.Field, error) {
		cmd := exec.Command(program, "keys", "create", "--server", "http://"+address, "--service", name, "--role", "operator", "--priority", priority, "--team", "bench",
			"--usd-day", "1000000", "--tokens-month", "1000000000000", "--rpm", "1000000000", "--tpm", "1000000000000")
		cmd.Env = append(append(os.Environ(), env...), "DECOUPLE_KEY="+owner)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		return []transport.Field{{Name: "Authorization", Value: "Bearer " + strings.TrimSpace(string(out))}}, err
	}
	if low, err = make("low", "0"); err == nil {
		high, err = make("high", "50")
	}
	return low, high, err
}
