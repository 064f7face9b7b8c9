package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
	"decouple.dev/decouple/journal/sqlite"
)

// leaving makes an installation with a research run, and a bundle of it.
func leaving(t *testing.T) (bundle, public string, head decouple.Position) {
	t.Helper()
	from, out := t.TempDir(), t.TempDir()
	if b, err := command(from, "research", killQuestion, "--docs", "testdata/docs", "--model", "builtin").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	bundle, public = filepath.Join(out, "leave.tar"), filepath.Join(out, "decouple.pub")
	if b, err := command(from, "exit", "bundle", "--out", bundle).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	key, err := command(from, "exit", "key").Output()
	if err = errors.Join(err, os.WriteFile(public, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.OpenReader(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	head, err = r.Head(t.Context())
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return bundle, public, head - 1 // that it was bundled is noted behind it
}

// TestKillImport kills imports at random moments: nothing half-done is ever in use, and the next import is whole.
func TestKillImport(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	bundle, public, head := leaving(t)
	began := time.Now()
	if b, err := command(t.TempDir(), "exit", "import", bundle, "--key", public).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	lasts, to := time.Since(began), t.TempDir()
	for range 20 {
		cmd := command(to, "exit", "import", bundle, "--key", public)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(chance.Int64N(int64(lasts))), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // mostly: killed
		timer.Stop()
		r, openErr := sqlite.OpenReader(t.Context(), to)
		switch k := decouple.KindOf(openErr); {
		case k == decouple.NotFound, k == decouple.Conflict, k == decouple.Invalid && strings.Contains(openErr.Error(), "schema version 0"):
		case openErr != nil:
			t.Fatal(openErr)
		default:
			got, headErr := r.Head(t.Context())
			if err := errors.Join(headErr, r.Close()); err != nil {
				t.Fatal(err)
			}
			if got != 0 && got != head {
				t.Fatalf("after a kill %d of %d events are in use", got, head)
			}
			if got == head { // it had ended, or was about to
				to = t.TempDir()
			}
		}
	}
	if b, err := command(to, "exit", "import", bundle, "--key", public).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if b, err := command(to, "verify").CombinedOutput(); err != nil || !strings.Contains(string(b), "ok: ") {
		t.Errorf("%v\n%s", err, b)
	}
}

// TestExitShared carries an installation to PostgreSQL and back with the real binary.
func TestExitShared(t *testing.T) {
	t.Parallel()
	bundle, public, head := leaving(t)
	url, at := pgtest.Database(t), t.TempDir()
	if b, err := command(at, "exit", "import", bundle, "--key", public, "--store", url).CombinedOutput(); err != nil || !strings.Contains(string(b), "equal: 1 sums of usage") {
		t.Fatalf("%v\n%s", err, b)
	}
	r, err := postgres.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Head(t.Context())
	if err := errors.Join(err, r.Close()); err != nil || got != head {
		t.Fatalf("%d events and not %d: %v", got, head, err)
	}
	cmd := command(at, "exit", "bundle", "--out", filepath.Join(at, "back.tar"), "--store", url)
	if b, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(b), "DECOUPLE_SIGNING_KEY") {
		t.Errorf("nodes that share a journal sign without a key that they share: %v\n%s", err, b)
	}
	key := "DECOUPLE_SIGNING_KEY=" + strings.Repeat("7", 64)
	for _, args := range [][]string{{"exit", "bundle", "--out", filepath.Join(at, "back.tar"), "--store", url}, {"exit", "import", filepath.Join(at, "back.tar")}} {
		cmd := command(filepath.Join(at, "again"), args...)
		cmd.Env = append(cmd.Environ(), key)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, b)
		}
	}
	if b, err := command(filepath.Join(at, "again"), "runs", "ls").CombinedOutput(); err != nil || !strings.Contains(string(b), "backup service") {
		t.Errorf("%v\n%s", err, b)
	}
}
