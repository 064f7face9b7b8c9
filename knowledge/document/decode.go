package document

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"decouple.dev/decouple"
)

// MaxSize is the largest file, and the largest unpacked text, that is read.
const MaxSize = 64 << 20

// Decode finds out what the bytes of a file are and unpacks them, if need be. What it gives is text, but for a PDF, which [ReadPDF] must read. Errors are Invalid
// or TooLarge and say why the file is not a document.
func Decode(name string, data []byte) (Media, string, error) {
	if len(data) > MaxSize {
		return "", "", decouple.Errorf(decouple.TooLarge, "larger than %d MB", MaxSize>>20)
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		unpacked, err := gunzip(data)
		if err != nil {
			return "", "", err
		}
		data = unpacked
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".GZ")
	}
	if bytes.HasPrefix(data, []byte("%PDF-")) {
		return PDF, string(data), nil
	}
	if err := checkText(data); err != nil {
		return "", "", err
	}
	return mediaOf(name, data), string(data), nil
}

// gunzip unpacks data, up to MaxSize.
func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "broken gzip: %v", err)
	}
	unpacked, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	switch {
	case err != nil && errors.Is(err, io.ErrUnexpectedEOF):
		return nil, decouple.Errorf(decouple.Invalid, "broken gzip: it ends in the middle")
	case err != nil:
		return nil, decouple.Errorf(decouple.Invalid, "broken gzip: %v", err)
	case len(unpacked) > MaxSize:
		return nil, decouple.Errorf(decouple.TooLarge, "unpacks to more than %d MB", MaxSize>>20)
	}
	return unpacked, nil
}

// checkText says why data is not UTF-8 text that somebody can read.
func checkText(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return decouple.Errorf(decouple.Invalid, "empty")
	}
	for _, bom := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(bom)) {
			return decouple.Errorf(decouple.Invalid, "not text: UTF-16; convert it to UTF-8")
		}
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return decouple.Errorf(decouple.Invalid, "not text: it holds NUL bytes")
	}
	if !utf8.Valid(data) {
		return decouple.Errorf(decouple.Invalid, "not text: not valid UTF-8; convert it to UTF-8")
	}
	control := 0
	for _, c := range data {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\b' && c != 0x1b {
			control++
		}
	}
	if control*100 > len(data) {
		return decouple.Errorf(decouple.Invalid, "not text: it is full of control characters")
	}
	return nil
}

// mediaOf tells HTML and Markdown by the name, HTML by its beginning as well; everything else is plain text.
func mediaOf(name string, data []byte) Media {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm", ".xhtml":
		return HTML
	case ".md", ".markdown", ".mdown", ".mkd", ".mdx":
		return Markdown
	}
	begin := strings.ToLower(string(bytes.TrimSpace(data[:min(len(data), 512)])))
	if strings.HasPrefix(begin, "<!doctype html") || strings.HasPrefix(begin, "<html") {
		return HTML
	}
	return Plain
}
