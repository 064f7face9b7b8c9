package exit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/sign"
)

// Bundle is an archive that was checked against its signature.
type Bundle struct {
	Summary
	f     io.ReaderAt
	size  int64
	close func() error
	files map[string]entry
}

// maxManifest bounds the envelope that is read into memory.
const maxManifest = sign.MaxEnvelope

// Open checks a bundle against the public key of the installation that made it: that every byte of it is as it was signed. What is not is Denied, and the place is named.
func Open(ctx context.Context, path string, by sign.Public, progress func(stage string, done int64)) (*Bundle, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(decouple.Errorf(decouple.Unavailable, "the bundle cannot be read: %w", err), f.Close())
	}
	b := &Bundle{f: f, size: info.Size(), close: f.Close, files: map[string]entry{}}
	if err := b.open(ctx, by, progress); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b.Path = path
	return b, nil
}

// Close closes the file.
func (b *Bundle) Close() error { return b.close() }

func (b *Bundle) open(ctx context.Context, by sign.Public, progress func(string, int64)) error {
	u := &unpacker{r: bufio.NewReaderSize(io.NewSectionReader(b.f, 0, b.size), int(min(b.size, 1<<20)))}
	var found []entry
	var envelope []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, size, ok, err := u.header()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if envelope != nil {
			return damaged("the file %.100q stands behind the manifest, where nothing belongs", name)
		}
		if name == manifestName {
			if envelope, err = u.manifest(size); err != nil {
				return err
			}
			continue
		}
		e, err := u.entry(name, size)
		if err != nil {
			return err
		}
		found = append(found, e)
		if progress != nil {
			progress("bytes", u.at)
		}
	}
	if envelope == nil {
		return damaged("it has no %s, which is its last file: it was cut, or is no bundle", manifestName)
	}
	payload, err := sign.Open(envelope, PayloadType, by)
	if err != nil {
		return damaged("its %s: %w", manifestName, err)
	}
	m, err := parseManifest(payload)
	if err != nil {
		return err
	}
	b.Summary = Summary{ID: idOf(payload), Bytes: u.at, Key: by.ID(), Manifest: m}
	return b.compare(ctx, found)
}

// idOf is the name of a bundle with this manifest.
func idOf(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// manifest reads the manifest's envelope.
func (u *unpacker) manifest(size int64) ([]byte, error) {
	if size > maxManifest {
		return nil, damaged("its manifest has %d bytes", size)
	}
	var b bytes.Buffer
	err := u.content(manifestName, size, &b)
	return b.Bytes(), err
}

// entry hashes a file.
func (u *unpacker) entry(name string, size int64) (entry, error) {
	d := newDigest()
	offset := u.at
	if err := u.content(name, size, d); err != nil {
		return entry{}, err
	}
	return entry{d.file(name), offset}, nil
}

// compare holds what is there against what was signed.
func (b *Bundle) compare(ctx context.Context, found []entry) error {
	for i, want := range b.Manifest.Files {
		if i >= len(found) {
			return damaged("the file %s and what follows it are missing", want.Name)
		}
		e := found[i]
		if e.Name != want.Name {
			return b.misplaced(i, found)
		}
		b.files[e.Name] = e
		if e.SHA256 != want.SHA256 || e.Size != want.Size || e.Blocks != want.Blocks {
			return b.changed(ctx, e, want)
		}
	}
	if len(found) > len(b.Manifest.Files) {
		return damaged("the file %.100q is not one of those that were signed", found[len(b.Manifest.Files)].Name)
	}
	return nil
}

// misplaced says why another file stands at a place than was signed.
func (b *Bundle) misplaced(i int, found []entry) error {
	want, have := b.Manifest.Files[i].Name, found[i].Name
	known, there := false, false
	for _, f := range b.Manifest.Files {
		known = known || f.Name == have
	}
	for _, e := range found[i:] {
		there = there || e.Name == want
	}
	switch {
	case !known:
		return damaged("the file %.100q is not one of those that were signed", have)
	case !there:
		return damaged("the file %s is missing", want)
	}
	return damaged("the file %s stands where %s belongs: files were put in another order", have, want)
}

// changed says where a file is not as it was signed.
func (b *Bundle) changed(ctx context.Context, e entry, want File) error {
	block := firstDifference(e.Blocks, want.Blocks)
	from := int64(block) * blockSize
	to := min(from+blockSize, max(e.Size, want.Size))
	place := fmt.Sprintf("the file %s, bytes %d to %d", e.Name, from, to-1)
	if e.Size != want.Size {
		place += fmt.Sprintf(" (it has %d bytes, and %d were signed)", e.Size, want.Size)
	}
	if !strings.HasSuffix(e.Name, ".jsonl") {
		return damaged("%s: something was changed", place)
	}
	first, last, err := b.lines(e, from, to)
	if err != nil {
		return err
	}
	place += fmt.Sprintf(", lines %d to %d", first, last)
	if line, what, err := b.badLine(ctx, e.Name, first, last); err != nil {
		return err
	} else if line > 0 {
		place = fmt.Sprintf("the file %s, line %d (%s)", e.Name, line, what)
	}
	return damaged("%s: something was changed", place)
}

// firstDifference is the first block that differs; files of one block have none.
func firstDifference(a, b string) int {
	n := 0
	for ; len(a) >= blockHex && len(b) >= blockHex && a[:blockHex] == b[:blockHex]; n++ {
		a, b = a[blockHex:], b[blockHex:]
	}
	return n
}

// lines are the numbers of the lines that a stretch of a file belongs to.
func (b *Bundle) lines(e entry, from, to int64) (first, last int, err error) {
	content := make([]byte, min(to, e.Size))
	if _, err := b.f.ReadAt(content, e.offset); err != nil {
		return 0, 0, decouple.Errorf(decouple.Unavailable, "the bundle cannot be read: %w", err)
	}
	first = 1 + bytes.Count(content[:min(from, int64(len(content)))], []byte("\n"))
	return first, 1 + bytes.Count(bytes.TrimSuffix(content, []byte("\n")), []byte("\n")), nil
}

// badLine finds the line of a file among some that is not what it should be: that cannot be read, or, of an event, that does not match its checksum.
func (b *Bundle) badLine(ctx context.Context, name string, first, last int) (int, string, error) {
	c := newChain()
	bad, what := 0, ""
	stop := errors.New("found")
	for _, f := range b.Manifest.Files {
		if !strings.HasPrefix(f.Name, eventsFolder+"/") && f.Name != name {
			continue
		}
		err := b.eachLine(ctx, f.Name, func(n int, line []byte) error {
			err := c.check(f.Name, line)
			if err != nil && f.Name == name && n >= first && n <= last {
				bad, what = n, err.Error()
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			return 0, "", err
		}
		if f.Name == name || err == stop {
			break
		}
	}
	return bad, what, nil
}

// part opens a file of the bundle.
func (b *Bundle) part(name string) (*io.SectionReader, error) {
	e, ok := b.files[name]
	if !ok {
		return nil, damaged("the file %s is missing", name)
	}
	return io.NewSectionReader(b.f, e.offset, e.Size), nil
}

// eachLine calls fn for every line of a file, numbered from 1; the line is valid until fn returns.
func (b *Bundle) eachLine(ctx context.Context, name string, fn func(n int, line []byte) error) error {
	s, err := b.part(name)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(s, int(min(s.Size(), 256<<10)))
	var long []byte
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		for long = long[:0]; errors.Is(err, bufio.ErrBufferFull); {
			long = append(long, line...)
			line, err = r.ReadSlice('\n')
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if len(line) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return decouple.Errorf(decouple.Unavailable, "the bundle cannot be read: %w", err)
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fn(n, line); err != nil {
			return err
		}
	}
}

// chain checks lines: that they can be read, and the positions, sequences and checksums of events.
type chain struct {
	last  decouple.Position
	heads map[[16]byte]chainHead // by the hash of a stream's name: a bundle may have millions of streams
}

type chainHead struct {
	seq decouple.Seq
	sum [32]byte
}

func newChain() *chain { return &chain{heads: map[[16]byte]chainHead{}} }

// check checks a line of a file.
func (c *chain) check(file string, line []byte) error {
	folder, _, _ := strings.Cut(file, "/")
	var err error
	switch folder {
	case eventsFolder:
		return c.event(line)
	case keysFolder:
		_, err = decodeKey(line)
	case blobsFolder:
		err = decode(line, &blobLine{})
	case runsFolder:
		_, err = decodeRun(line)
	case messagesFolder:
		_, err = decodeMessage(line)
	case commitsFolder:
		_, err = decodeCommit(line)
	case foldsFolder:
		err = decode(line, &Fold{})
	}
	return err
}

func (c *chain) event(line []byte) error {
	e, err := decodeEvent(line)
	if err != nil {
		return err
	}
	name := sha256.Sum256([]byte(string(e.Stream.Tenant) + "\x00" + string(e.Stream.Kind) + "\x00" + e.Stream.ID))
	k := [16]byte(name[:16])
	h := c.heads[k]
	sum := journal.Chain(h.sum, journal.Encode(e))
	c.heads[k] = chainHead{e.Seq, e.Checksum}
	c.last++
	switch {
	case sum != e.Checksum:
		err = decouple.Errorf(decouple.Denied, "the event at position %d, number %d of %q, does not match its checksum", e.Position, e.Seq, e.Stream.String())
	case e.Position != c.last:
		err = decouple.Errorf(decouple.Denied, "the event at position %d stands where %d belongs", e.Position, c.last)
	case e.Seq != h.seq+1:
		err = decouple.Errorf(decouple.Denied, "the event at position %d is number %d of %q and follows number %d", e.Position, e.Seq, e.Stream.String(), h.seq)
	}
	if err != nil {
		c.last = e.Position
	}
	return err
}

// Check reads every line of a bundle that is as it was signed, and says where one is not what it should be: then the installation that signed it was not sound.
func (b *Bundle) Check(ctx context.Context, progress func(stage string, done int64)) error {
	c := newChain()
	var lines int64
	for _, f := range b.Manifest.Files {
		if !strings.HasSuffix(f.Name, ".jsonl") {
			continue
		}
		err := b.eachLine(ctx, f.Name, func(n int, line []byte) error {
			if err := c.check(f.Name, line); err != nil {
				return decouple.Errorf(decouple.Denied, "the bundle was signed as it is, and is not sound: %s, line %d: %w", f.Name, n, err)
			}
			if lines++; progress != nil && lines%4096 == 0 {
				progress("lines", lines)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if c.last != b.Manifest.Head {
		return decouple.Errorf(decouple.Denied, "the bundle was signed as it is, and is not sound: its events end at %d, and the manifest says %d", c.last, b.Manifest.Head)
	}
	return nil
}
