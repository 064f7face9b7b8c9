package knowledge

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"decouple.dev/decouple/knowledge/document"
)

// file is a file that may become a note.
type file struct {
	path   string // absolute
	folder string // that was given, empty if the file itself was
	info   fs.FileInfo
}

// source is the name that people know the file by: its path within the folder given.
func (f file) source() string {
	if rel, err := filepath.Rel(f.folder, f.path); f.folder != "" && err == nil {
		return rel
	}
	return filepath.Base(f.path)
}

// Skip is something that did not become a note, and why.
type Skip struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// walker finds the files under the paths given. Folders that symbolic links lead to are followed once.
type walker struct {
	files   []file
	skips   []Skip
	folders map[string]bool // real paths
	taken   map[string]bool // paths of files
}

// walk lists the files at or under paths, which are absolute, and what is no file that could be read.
func walk(paths []string) *walker {
	w := &walker{folders: map[string]bool{}, taken: map[string]bool{}}
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case err != nil:
			w.skip(p, reason(err))
		case info.IsDir():
			w.folder(p, p)
		default:
			w.file(p, "", info)
		}
	}
	return w
}

func (w *walker) skip(path, why string) { w.skips = append(w.skips, Skip{path, why}) }

// reason says in few words why a file cannot be read.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to read it"
	}
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// folder lists what is in dir, in order of name.
func (w *walker) folder(dir, given string) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		w.skip(dir, reason(err))
		return
	}
	if w.folders[real] {
		if dir != given {
			w.skip(dir, "a symbolic link to a folder that is read already")
		}
		return
	}
	w.folders[real] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.skip(dir, reason(err))
	}
	for _, e := range entries {
		w.entry(filepath.Join(dir, e.Name()), given, e)
	}
}

func (w *walker) entry(p, given string, e fs.DirEntry) {
	name := e.Name()
	if !utf8.ValidString(name) {
		w.skip(strings.ToValidUTF8(p, "\ufffd"), "its name is not UTF-8")
		return
	}
	if strings.HasPrefix(name, ".") {
		w.skip(p, "hidden; name it to add it")
		return
	}
	if e.IsDir() {
		w.folder(p, given)
		return
	}
	info, err := os.Stat(p)
	switch {
	case err != nil && e.Type()&fs.ModeSymlink != 0 && !errors.Is(err, fs.ErrNotExist):
		w.skip(p, "a symbolic link that leads nowhere: "+reason(err))
	case err != nil && e.Type()&fs.ModeSymlink != 0:
		w.skip(p, "a symbolic link to nothing")
	case err != nil:
		w.skip(p, reason(err))
	case info.IsDir():
		w.folder(p, given)
	default:
		w.file(p, given, info)
	}
}

// file lists a file, unless it cannot be a document.
func (w *walker) file(p, given string, info fs.FileInfo) {
	switch {
	case w.taken[p]:
	case !utf8.ValidString(p):
		w.skip(strings.ToValidUTF8(p, "\ufffd"), "its name is not UTF-8")
	case !info.Mode().IsRegular():
		w.skip(p, "not a regular file")
	case info.Size() == 0:
		w.skip(p, "empty")
	case info.Size() > document.MaxSize:
		w.skip(p, "larger than "+decimal(document.MaxSize>>20)+" MB")
	default:
		w.taken[p] = true
		w.files = append(w.files, file{p, given, info})
	}
}

// Walk hands every file at or under paths that may become a note to put, with the folder that was given for it. It says what was skipped, and which paths under
// the folders are gone. A file that cannot be read is skipped.
func Walk(paths []string, progress func(Progress), put func(path, folder string, body io.Reader) error) (skips []Skip, gone func(path string) bool, err error) {
	w := walk(paths)
	p := Progress{Files: len(w.files)}
	for _, f := range w.files {
		p.AllBytes += f.info.Size()
	}
	for _, f := range w.files {
		body, err := os.Open(f.path)
		if err != nil {
			w.skip(f.path, reason(err))
			continue
		}
		err = put(f.path, f.folder, body)
		_ = body.Close()
		if err != nil {
			return w.skips, nil, err
		}
		p.Done++
		p.Bytes += f.info.Size()
		if progress != nil {
			progress(p)
		}
	}
	return w.skips, func(path string) bool { return !w.taken[path] }, nil
}
