// Command generate answers "what do the vendors charge now?": it takes the list prices out of the npm package @pydantic/genai-prices (MIT) and writes them as catalog/data/prices.json,
// with the package's licence beside it. It needs npm and node, and is run by a person: go run ./catalog/generate. What it writes is read over and committed; the
// program itself never fetches prices.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"decouple.dev/decouple/catalog"
)

const npmPackage = "@pydantic/genai-prices"

// maxFile bounds a file of the package.
const maxFile = 32 << 20

// script prints the providers of the package, by its published interface.
const script = `const m = require(process.argv[1]); const all = {};
for (const id of process.argv.slice(2)) { const p = m.findProvider({providerId: id}); if (p) all[id] = p.models.map(x => ({id: x.id, deprecated: !!x.deprecated, prices: x.prices})); }
process.stdout.write(JSON.stringify(all));`

func main() {
	version := flag.String("version", "latest", "of the package")
	out := flag.String("out", "catalog/data", "folder that is written to")
	flag.Parse()
	if err := run(*version, *out, time.Now().UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(version, out string, now time.Time) error {
	dir, err := os.MkdirTemp("", "prices-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pack := exec.Command("npm", "pack", "--silent", npmPackage+"@"+version)
	pack.Dir, pack.Stderr = dir, os.Stderr
	name, err := pack.Output()
	if err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}
	if err := unpack(filepath.Join(dir, filepath.Base(strings.TrimSpace(string(name)))), dir); err != nil {
		return err
	}
	var about struct {
		Version string `json:"version"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &about); err != nil {
		return fmt.Errorf("package.json: %w", err)
	}
	args := []string{"-e", script, filepath.Join(dir, "index.cjs")}
	for _, s := range sellers() {
		args = append(args, s.theirs)
	}
	data, err := exec.Command("node", args...).Output()
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	file, err := convert(data, npmPackage+" "+about.Version, now)
	if err != nil {
		return err
	}
	if _, err := catalog.ParseOverlay(file); err != nil {
		return fmt.Errorf("what was made cannot be read: %w", err)
	}
	licence, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
	if err != nil {
		return err
	}
	attribution := fmt.Sprintf("prices.json is made by catalog/generate from %s %s, whose licence follows.\n\n%s", npmPackage, about.Version, licence)
	return errors.Join(os.WriteFile(filepath.Join(out, "prices.json"), file, 0o644), os.WriteFile(filepath.Join(out, "ATTRIBUTION.txt"), []byte(attribution), 0o644))
}

// unpack takes the three files that are needed out of the package, by their last names.
func unpack(archive, dir string) error {
	b, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch name := filepath.Base(h.Name); name {
		case "index.cjs", "package.json", "LICENSE":
			data, err := io.ReadAll(io.LimitReader(t, maxFile))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
			}
			if err != nil {
				return err
			}
		}
	}
}
