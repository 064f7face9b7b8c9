// Command withpg answers "where does a benchmark get a PostgreSQL?": it starts a server of its own in a temporary folder of the present one, runs a command with DECOUPLE_STORE set to its
// address, and stops the server.
//
//	go run ./bench/withpg bin/decouple bench tree --nodes 2
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"decouple.dev/decouple/journal/postgres/pgtest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("name the command that is to run")
	}
	dir, err := os.MkdirTemp("", "withpg")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	s, err := pgtest.Start(ctx, filepath.Join(dir, "pg"))
	if err != nil {
		return err
	}
	defer s.Stop()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), "DECOUPLE_STORE="+s.URL("postgres"))
	return c.Run()
}
