// Package pgtest answers "where does a test get a PostgreSQL?": it starts a cluster of its own, from the server programs of Debian's postgresql package, in a temporary
// folder and on a free port of 127.0.0.1, as a user who is not root. The cluster ends with the process that started it.
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	dice "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
)

// Server is a running cluster.
type Server struct {
	dir    string
	bin    string
	port   int
	cred   *syscall.Credential
	cmd    *exec.Cmd
	log    *bytes.Buffer
	exited chan struct{}
}

// Start makes a cluster below dir, which must be empty or not there, and starts it. A server program that is missing is Unavailable and says what to install.
func Start(ctx context.Context, dir string) (*Server, error) {
	s, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	if err := s.run(ctx, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		err := s.up(ctx)
		if err == nil || n == 5 || !strings.Contains(err.Error(), "Address already in use") {
			return s, err
		}
		if s.port, err = freePort(); err != nil { // somebody else has taken it meanwhile
			return nil, err
		}
	}
}

// prepare finds the programs, a port and a user.
func prepare(dir string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // initdb refuses to run as root
		if s.cred, err = other(); err != nil {
			return nil, err
		}
		for d := dir; len(d) > 1 && d != os.TempDir(); d = filepath.Dir(d) { // that user has to come by
			if info, err := os.Stat(d); err == nil {
				_ = os.Chmod(d, info.Mode()|0o111)
			}
		}
		if err := os.Chown(dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// programs is the folder of the newest server programs.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(found, func(a, b string) int { return release(a) - release(b) })
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		if dir := strings.TrimSpace(string(out)); exists(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", decouple.Errorf(decouple.Unavailable, "PostgreSQL's server programs are missing: install them, on Debian with `apt-get install postgresql`")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// release is the version in a path such as /usr/lib/postgresql/15/bin/postgres.
func release(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

// freePort finds a port on which nobody listens, below those that systems give to outgoing connections: one of these could take it while the server is being restarted.
func freePort() (int, error) {
	var last error
	for range 50 {
		port := 20_000 + dice.IntN(12_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, last
}

// other is a user who is not root.
func other() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, decouple.Errorf(decouple.Unavailable, "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, attributes(s.cred)
	return cmd
}

// run runs one of the programs to its end.
func (s *Server) run(ctx context.Context, name string, args ...string) error {
	if out, err := s.command(ctx, name, args...).CombinedOutput(); err != nil {
		return decouple.Errorf(decouple.Unavailable, "%s failed: %w: %s", name, err, out)
	}
	return nil
}

// up starts the server and waits until it answers.
func (s *Server) up(ctx context.Context) error {
	s.log, s.exited = &bytes.Buffer{}, make(chan struct{})
	s.cmd = s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.port), "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "max_connections=100", "-c", "logging_collector=off",
		"-c", "wal_level=replica", "-c", "max_wal_senders=4", "-c", "shared_buffers=128MB", "-c", "log_min_messages=warning")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return decouple.Errorf(decouple.Unavailable, "postgres does not start: %w", err)
	}
	cmd, exited := s.cmd, s.exited
	go func() { _ = cmd.Wait(); close(exited) }()
	for end := time.Now().Add(30 * time.Second); ; {
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			_ = c.Close(ctx)
		}
		select {
		case <-s.exited:
			return decouple.Errorf(decouple.Unavailable, "postgres ended at once: %s", s.log)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
			if err == nil {
				return nil // and it has not ended, so it was this server that answered
			}
		}
		if time.Now().After(end) {
			return decouple.Errorf(decouple.Unavailable, "postgres does not answer: %w", err)
		}
	}
}

// URL is the address of a database.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// NewDatabase makes an empty database and gives its address.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(ctx) }()
	name := "d" + strings.ToLower(rand.Text()[:12])
	_, err = c.Exec(ctx, "create database "+name)
	return s.URL(name), err
}

// Stop ends the server in good order; its data stays.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server and all its processes at once, as a loss of power would.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // its group, which is its own
		<-s.exited
	}
}

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		s.Kill()
	}
}

// Restart stops the server and starts it on the same data and port.
func (s *Server) Restart(ctx context.Context) error {
	s.Stop()
	return s.up(ctx)
}

// Up starts a server that was stopped or killed.
func (s *Server) Up(ctx context.Context) error { return s.up(ctx) }

// Standby makes a copy of this server that follows it, below dir, and has every commit here wait for it.
func (s *Server) Standby(ctx context.Context, dir string) (*Server, error) {
	b, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	err = b.run(ctx, "pg_basebackup", "-D", b.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "postgres", "-R", "-X", "stream",
		"-d", "application_name=standby")
	if err != nil {
		return nil, err
	}
	if err := b.up(ctx); err != nil {
		return nil, err
	}
	return b, s.exec(ctx, "alter system set synchronous_standby_names = 'standby'", "select pg_reload_conf()")
}

// Promote makes a standby a primary of its own.
func (s *Server) Promote(ctx context.Context) error {
	return s.exec(ctx, "select pg_promote(true, 30)")
}

func (s *Server) exec(ctx context.Context, statements ...string) error {
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	for _, q := range statements {
		if _, err := c.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// shared is the cluster that the tests of one package have in common.
var shared struct {
	once sync.Once
	s    *Server
	err  error
	dir  string
}

// Shared gives the cluster that the tests of this process have in common, started at the first call. Main stops it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "pgtest"); shared.err == nil {
			shared.s, shared.err = Start(context.Background(), filepath.Join(shared.dir, "shared"))
		}
	})
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.s
}

// Database gives the address of an empty database of the shared cluster.
func Database(tb testing.TB) string {
	tb.Helper()
	url, err := Shared(tb).NewDatabase(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// Main runs the tests of a package and stops the shared cluster. Call it from TestMain with os.Exit.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.s != nil {
		shared.s.end(syscall.SIGQUIT) // nothing of it is kept
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	return code
}

// Cut ends all connections of clients, as a network that fails would.
func (s *Server) Cut(ctx context.Context) error {
	return s.exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")
}

// Dump is a database as statements that any later server understands.
func Dump(ctx context.Context, url string) ([]byte, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_dump"), "--inserts", "--no-owner", "--no-privileges", "--no-comments", url).Output()
	if err != nil {
		return nil, err
	}
	var kept []byte
	for line := range bytes.Lines(out) {
		skip := len(line) == 1 || bytes.HasPrefix(line, []byte("--")) || bytes.HasPrefix(line, []byte(`\`)) || bytes.HasPrefix(line, []byte("SET ")) && !bytes.HasPrefix(line, []byte("SET check_function_bodies")) || bytes.HasPrefix(line, []byte("SELECT pg_catalog.set_config"))
		if !skip {
			kept = append(kept, line...)
		}
	}
	return kept, nil
}
