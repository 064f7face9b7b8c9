package research

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"decouple.dev/decouple"
)

// Corpus is a body of documents that the evaluation asks about.
type Corpus struct {
	Name  string   `json:"name"`
	Root  string   `json:"root"`  // the folder that paths are told from
	Paths []string `json:"paths"` // what to add as notes
}

// Skipped is a corpus that this machine lacks.
type Skipped struct {
	Corpus string `json:"corpus"`
	Why    string `json:"why"`
}

// Corpora finds the three bodies of documents of the evaluation on this machine: go is the folder doc of the Go distribution, gosrc every Markdown file under its
// src, and npm the documentation that npm brings along.
func Corpora(ctx context.Context) ([]Corpus, []Skipped) {
	var found []Corpus
	var skipped []Skipped
	add := func(c Corpus, err error) {
		if err != nil {
			skipped = append(skipped, Skipped{c.Name, err.Error()})
			return
		}
		found = append(found, c)
	}
	goroot, err := output(ctx, "go", "env", "GOROOT")
	add(folder("go", filepath.Join(goroot, "doc"), err))
	npm, npmErr := output(ctx, "npm", "root", "-g")
	add(folder("npm", filepath.Join(npm, "npm", "docs", "content"), npmErr))
	add(markdownUnder("gosrc", filepath.Join(goroot, "src"), err))
	return found, skipped
}

// output is the one line that a program prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	line := strings.TrimSpace(string(out))
	if err == nil && line == "" {
		err = decouple.Errorf(decouple.NotFound, "it printed nothing")
	}
	if err != nil {
		return "", decouple.Errorf(decouple.NotFound, "%s %s: %w; install it, or do without its documents", name, strings.Join(args, " "), err)
	}
	return line, nil
}

// folder is a corpus of all that lies in a folder.
func folder(name, root string, err error) (Corpus, error) {
	c := Corpus{Name: name, Root: root, Paths: []string{root}}
	if err != nil {
		return c, err
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return c, decouple.Errorf(decouple.NotFound, "there is no folder %s", root)
	}
	return c, nil
}

// markdownUnder is a corpus of the Markdown files in a folder and below it.
func markdownUnder(name, root string, err error) (Corpus, error) {
	c, err := folder(name, root, err)
	if err != nil {
		return c, err
	}
	c.Paths = nil
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.EqualFold(filepath.Ext(path), ".md") {
			c.Paths = append(c.Paths, path)
		}
		return err
	})
	if len(c.Paths) == 0 {
		err = cmp.Or(err, decouple.Errorf(decouple.NotFound, "there is no Markdown file under %s", root))
	}
	return c, err
}
