package decouple_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "decouple.dev/decouple"

// rooms is the law of DESIGN section 1: every folder with Go code is here, with the rooms it may import. The root may be imported by all.
var rooms = map[string][]string{
	".":                       {},
	"prose":                   {},
	"journal":                 {},
	"journal/sqlite":          {"journal"},
	"journal/journaltest":     {"journal"},
	"journal/postgres":        {"journal"},
	"journal/postgres/pgtest": {},
	"builtin":                 {"prose"},
	"gateway/credential":      {"catalog"},
	"gateway/dialect":         {},
	"catalog":                 {},
	"placement":               {},
	"catalog/generate":        {"catalog"},
	"meter":                   {"catalog", "journal"},
	"gateway/route":           {"catalog"},
	"sim":                     {"builtin", "catalog", "gateway/dialect"},
	"gateway/ledger":          {"journal", "meter"},
	"gateway/conformance":     {},
	"gateway/transport":       {},
	"gateway/telemetry":       {"catalog", "gateway", "gateway/ledger", "gateway/route"},
	"registry":                {"journal", "placement"},
	"knowledge":               {"journal", "knowledge/document", "prose"},
	"knowledge/document":      {"prose"},
	"gateway":                 {"builtin", "catalog", "gateway/credential", "gateway/dialect", "gateway/ledger", "gateway/route", "gateway/transport", "journal", "meter", "placement"},
	"engine":                  {"journal", "placement"},
	"tool":                    {"journal", "knowledge", "prose"},
	"research":                {"engine", "journal", "knowledge", "prose"},
	"risk/sign":               {},
	"api":                     {"engine", "journal", "knowledge", "registry", "research", "gateway", "gateway/ledger", "catalog", "tool", "risk/exposure", "risk/drill", "placement", "risk/whatif", "risk/parity"},
	"risk/drill":              {"catalog", "gateway", "gateway/ledger", "gateway/route", "journal", "meter", "placement", "risk/fleet", "risk/parity", "risk/sign", "sim"},
	"risk/exit":               {"catalog", "engine", "gateway", "gateway/ledger", "journal", "knowledge", "meter", "placement", "registry", "risk/sign"},
	"risk/exposure":           {"catalog", "placement"},
	"risk/parity":             {"catalog", "journal", "prose"},
	"risk/whatif":             {"catalog", "gateway", "gateway/ledger", "gateway/route", "meter", "placement"},
	"bench/failover":          {"api", "engine", "journal", "journal/postgres", "journal/postgres/pgtest"},
	"bench/gateway":           {"gateway/transport"},
	"bench/withpg":            {"journal/postgres/pgtest"},
	"risk/fleet":              {"catalog", "gateway", "gateway/dialect", "gateway/route", "placement", "sim"},
	"cmd/decouple":            nil, // everything
}

// deciding lists the files and rooms that must not look at a clock, roll dice or touch the outside.
var deciding = []string{".", "prose", "builtin", "gateway/dialect", "catalog", "meter", "placement", "risk/exposure", "risk/parity/case.go", "risk/parity/judge.go", "risk/parity/search.go", "risk/parity/statistics.go", "risk/parity/verdict.go", "risk/parity/write.go", "gateway/route", "risk/whatif", "knowledge/document", "engine/apply.go", "engine/next.go", "engine/budget.go", "engine/event.go", "engine/calls.go", "engine/apply_call.go", "engine/held.go",
	"risk/fleet",
	"sim/world.go", "sim/world_bill.go", "sim/world_cache.go", "sim/world_check.go", "sim/world_config.go", "sim/world_dice.go", "sim/world_fault.go", "sim/world_header.go", "sim/world_plan.go", "sim/world_queue.go",
	"sim/world_quota.go", "sim/world_words.go", "sim/answer.go", "sim/answer_names.go", "sim/config.go", "sim/config_read.go"}

// impure are the packages that deciding code must not import, and the functions of package time that it must not call.
var (
	impure      = []string{"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "database/sql", "os/exec", "syscall"}
	impureTimes = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
)

// Ceilings.
const (
	maxFunction = 80
	maxFile     = 800
	maxRoot     = 2500
)

// source is one parsed file of the module.
type source struct {
	path string // with slashes, from the module's root
	room string
	test bool
	file *ast.File
	fset *token.FileSet
	n    int // lines
}

// tree walks the module by itself: go test caches results and does not see what a subprocess has read.
func tree(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, b, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(p)
		all = append(all, source{slash, path.Dir(slash), strings.HasSuffix(name, "_test.go"), f, fset, strings.Count(string(b), "\n")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRooms(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range tree(t) {
		seen[s.room] = true
		allowed, known := rooms[s.room]
		if !known {
			t.Errorf("%s: the room %s is not in the house: add it to house_test.go and write a decision note", s.path, s.room)
			continue
		}
		for _, imp := range s.file.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			to, ours := strings.CutPrefix(p, module+"/")
			if !ours || s.test || allowed == nil || to == s.room {
				continue
			}
			if !slices.Contains(allowed, to) {
				t.Errorf("%s: %s may not import %s", s.path, s.room, to)
			}
		}
	}
	for r := range rooms {
		if !seen[r] {
			t.Errorf("the room %s has no code: take it out of house_test.go", r)
		}
	}
}

// TestRootIsNouns keeps the root to the standard library and small.
func TestRootIsNouns(t *testing.T) {
	t.Parallel()
	lines := 0
	for _, s := range tree(t) {
		if s.room != "." || s.test {
			continue
		}
		lines += s.n
		for _, imp := range s.file.Imports {
			if p, _ := strconv.Unquote(imp.Path.Value); strings.Contains(strings.Split(p, "/")[0], ".") {
				t.Errorf("%s imports %s: the root has the standard library only", s.path, p)
			}
		}
	}
	if lines > maxRoot {
		t.Errorf("the root has %d lines, over %d", lines, maxRoot)
	}
}

func TestPackageComments(t *testing.T) {
	t.Parallel()
	comment := map[string]string{}
	for _, s := range tree(t) {
		if !s.test && s.file.Doc != nil {
			comment[s.room] += s.file.Doc.Text()
		}
	}
	for r := range rooms {
		if c := comment[r]; c == "" || r != "." && !strings.Contains(c, "?") {
			t.Errorf("the package comment of %s does not say which question it answers", r)
		}
	}
}

func TestCeilings(t *testing.T) {
	t.Parallel()
	for _, s := range tree(t) {
		if s.n > maxFile {
			t.Errorf("%s has %d lines, over %d", s.path, s.n, maxFile)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := s.fset.Position(f.Pos()), s.fset.Position(f.End())
			if n := to.Line - from.Line + 1; n > maxFunction {
				t.Errorf("%s: %s has %d lines, over %d", from, f.Name.Name, n, maxFunction)
			}
			if f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: no init: what a program needs is put together in cmd", from)
			}
		}
	}
}

// TestNames refuses package names that answer no question.
func TestNames(t *testing.T) {
	t.Parallel()
	banned := []string{"core", "common", "util", "utils", "types", "models", "service", "manager", "helper", "helpers", "runtime", "misc", "base"}
	for _, s := range tree(t) {
		if slices.Contains(banned, s.file.Name.Name) {
			t.Errorf("%s: a package may not be called %s", s.path, s.file.Name.Name)
		}
	}
}

// TestDecidingIsPure keeps clocks, dice and the outside out of what decides.
func TestDecidingIsPure(t *testing.T) {
	t.Parallel()
	for _, s := range tree(t) {
		if s.test || !slices.Contains(deciding, s.room) && !slices.Contains(deciding, s.path) {
			continue
		}
		for _, imp := range s.file.Imports {
			if p, _ := strconv.Unquote(imp.Path.Value); slices.Contains(impure, p) {
				t.Errorf("%s decides and may not import %s", s.path, p)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(impureTimes, sel.Sel.Name) {
					t.Errorf("%s: what decides has no clock: time arrives inside events", s.fset.Position(n.Pos()))
				}
			}
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: what decides starts no goroutine", s.fset.Position(n.Pos()))
			}
			return true
		})
	}
}

// TestExportedAreDocumented demands a sentence that begins with the name.
func TestExportedAreDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range tree(t) {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			if f.Recv != nil && !exportedReceiver(f.Recv.List[0].Type) {
				continue
			}
			if f.Doc == nil || !strings.HasPrefix(f.Doc.Text(), f.Name.Name+" ") {
				t.Errorf("%s: %s needs a sentence that begins with its name", s.fset.Position(f.Pos()), f.Name.Name)
			}
		}
	}
}

func exportedReceiver(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.StarExpr:
		return exportedReceiver(x.X)
	case *ast.IndexExpr:
		return exportedReceiver(x.X)
	case *ast.Ident:
		return x.IsExported()
	}
	return false
}
