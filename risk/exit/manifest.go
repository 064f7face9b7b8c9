package exit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"time"

	"decouple.dev/decouple"
)

// PayloadType is that of the manifest's envelope.
const PayloadType = "application/vnd.decouple.bundle+json"

// Names and sizes in a bundle. They are part of the format.
const (
	formatName    = "decouple-bundle"
	formatVersion = 1
	readmeName    = "README.txt"
	manifestName  = "manifest.json"
	blockSize     = 16 << 10 // bytes of a file that one entry of Blocks stands for
	blockHex      = 16       // digits of a block's hash in Blocks
)

// The folders of a bundle, in their order.
const (
	keysFolder     = "keys"
	blobsFolder    = "blobs"
	contentFolder  = "content"
	runsFolder     = "runs"
	eventsFolder   = "events"
	messagesFolder = "messages"
	commitsFolder  = "commits"
	foldsFolder    = "folds"
)

// Manifest is what is signed: what there is, and the hash of each file.
type Manifest struct {
	Format  string            `json:"format"`
	Version int               `json:"version"`
	Made    time.Time         `json:"made"`
	Program string            `json:"program"`
	Store   string            `json:"store"` // that it was made from: sqlite or postgres
	Head    decouple.Position `json:"head"`  // position of the last event
	Counts  Counts            `json:"counts"`
	LeftOut []string          `json:"left_out"` // what is not in it, a sentence each
	Files   []File            `json:"files"`    // in the order in which they stand in the archive
}

// Counts says how many of each there are.
type Counts struct {
	Keys     int64            `json:"keys"` // of subjects, that addresses of blobs are made with
	Blobs    int64            `json:"blobs"`
	Runs     int64            `json:"runs"`
	Live     int64            `json:"live"` // runs of these that have not ended
	Events   int64            `json:"events"`
	Messages int64            `json:"messages"`
	Commits  int64            `json:"commits"`
	Folds    int64            `json:"folds"`
	Streams  map[string]int64 `json:"streams"` // events by kind of stream
}

// File is a file of the archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Blocks are the first 8 bytes of the SHA-256 of each 16 KiB of the file, in hexadecimal, one after the other; empty for a file of one block.
	Blocks string `json:"blocks,omitempty"`
}

// digest hashes a file while it passes.
type digest struct {
	whole, block hash.Hash
	in           int // bytes in block
	size         int64
	blocks       []byte
}

func newDigest() *digest { return &digest{whole: sha256.New(), block: sha256.New()} }

// Write takes what passes.
func (d *digest) Write(p []byte) (int, error) {
	d.whole.Write(p)
	d.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		n := min(len(rest), blockSize-d.in)
		d.block.Write(rest[:n])
		rest = rest[n:]
		if d.in += n; d.in == blockSize {
			d.endBlock()
		}
	}
	return len(p), nil
}

func (d *digest) endBlock() {
	d.blocks = append(d.blocks, d.block.Sum(nil)[:blockHex/2]...)
	d.block.Reset()
	d.in = 0
}

// file is what passed, as the manifest has it.
func (d *digest) file(name string) File {
	if d.in > 0 {
		d.endBlock()
	}
	f := File{Name: name, Size: d.size, SHA256: hex.EncodeToString(d.whole.Sum(nil))}
	if len(d.blocks) > blockHex/2 {
		f.Blocks = hex.EncodeToString(d.blocks)
	}
	return f
}

// parseManifest reads the payload of a manifest's envelope.
func parseManifest(b []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, decouple.Errorf(decouple.Invalid, "the manifest cannot be read: %w; perhaps a newer program made the bundle", err)
	}
	if m.Format != formatName || m.Version != formatVersion {
		return m, decouple.Errorf(decouple.Invalid, "the bundle has the format %.40q version %d, and this program reads %s version %d: use a newer one", m.Format, m.Version, formatName, formatVersion)
	}
	return m, nil
}
