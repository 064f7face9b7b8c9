package exit

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"decouple.dev/decouple"
)

// tarBlock is the unit of a tar file; it ends with two of zeros.
const tarBlock = 512

// header is the one header that a file of this name and size has in a bundle.
func header(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err != nil {
		return nil, decouple.Errorf(decouple.TooLarge, "the file %s of %d bytes does not fit into a bundle: %w", name, size, err)
	}
	return b.Bytes(), nil
}

// padding is how many zeros follow a file.
func padding(size int64) int64 { return (tarBlock - size%tarBlock) % tarBlock }

// packer writes a bundle.
type packer struct {
	w     *bufio.Writer
	files []File
}

// add writes a file whose size is known.
func (p *packer) add(name string, size int64, content io.Reader) (File, error) {
	h, err := header(name, size)
	if err != nil {
		return File{}, err
	}
	if _, err := p.w.Write(h); err != nil {
		return File{}, err
	}
	d := newDigest()
	n, err := io.Copy(io.MultiWriter(p.w, d), io.LimitReader(content, size))
	if err == nil && n != size {
		err = decouple.Errorf(decouple.Internal, "%s has %d bytes and not %d", name, n, size)
	}
	if err == nil {
		_, err = p.w.Write(make([]byte, padding(size)))
	}
	f := d.file(name)
	p.files = append(p.files, f)
	return f, err
}

// end writes what ends a tar file.
func (p *packer) end() error {
	_, err := p.w.Write(make([]byte, 2*tarBlock))
	return errors.Join(err, p.w.Flush())
}

// entry is a file as it stands in the archive.
type entry struct {
	File
	offset int64 // of its content
}

// unpacker reads a bundle from its beginning, and takes only what a packer writes.
type unpacker struct {
	r  *bufio.Reader
	at int64
}

// damaged is the error of a bundle that is not as it was written.
func damaged(format string, args ...any) error {
	return decouple.Errorf(decouple.Denied, "the bundle is not as it was signed: "+format, args...)
}

// header reads the header of the next file; ok is false at the end of the archive.
func (u *unpacker) header() (name string, size int64, ok bool, err error) {
	b := make([]byte, tarBlock)
	if _, err := io.ReadFull(u.r, b); err != nil {
		return "", 0, false, u.cut(err, "where the header of a file belongs")
	}
	if bytes.Equal(b, make([]byte, tarBlock)) {
		if _, err := io.ReadFull(u.r, b); err != nil {
			return "", 0, false, u.cut(err, "in the zeros that end it")
		}
		if i := firstSet(b); i >= 0 {
			return "", 0, false, damaged("byte %d, in the zeros that end it, is set", u.at+tarBlock+int64(i))
		}
		u.at += 2 * tarBlock
		if n, _ := io.CopyN(io.Discard, u.r, 1); n > 0 {
			return "", 0, false, damaged("something follows its end at byte %d", u.at)
		}
		return "", 0, false, nil
	}
	h, err := tar.NewReader(bytes.NewReader(b)).Next()
	if err != nil {
		return "", 0, false, damaged("at byte %d, the header of a file is none", u.at)
	}
	want, err := header(h.Name, h.Size)
	if err != nil || !bytes.Equal(want, b) {
		return "", 0, false, damaged("at byte %d, the header of the file %.100q is not the one it was given", u.at, h.Name)
	}
	u.at += tarBlock
	return h.Name, h.Size, true, nil
}

// content hands the content of the file whose header was read to w.
func (u *unpacker) content(name string, size int64, w io.Writer) error {
	n, err := io.CopyN(w, u.r, size)
	u.at += n
	if err != nil {
		return u.cut(err, fmt.Sprintf("in the file %s, at byte %d of its %d", name, n, size))
	}
	pad := make([]byte, padding(size))
	if _, err := io.ReadFull(u.r, pad); err != nil && len(pad) > 0 {
		return u.cut(err, "behind the file "+name)
	}
	if i := firstSet(pad); i >= 0 {
		return damaged("byte %d, in the zeros behind the file %s, is set", u.at+int64(i), name)
	}
	u.at += int64(len(pad))
	return nil
}

// cut is the error of an archive that ends too early.
func (u *unpacker) cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends after byte %d, %s: it was cut", u.at, where)
	}
	return decouple.Errorf(decouple.Unavailable, "the bundle cannot be read: %w", err)
}

func firstSet(b []byte) int {
	return bytes.IndexFunc(b, func(r rune) bool { return r != 0 })
}

// openFile opens a bundle's file.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, decouple.Errorf(decouple.NotFound, "there is no bundle %s", path)
	}
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the bundle cannot be read: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, decouple.Errorf(decouple.Invalid, "%s is no file", path)
	}
	return f, nil
}
