package sqlite

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"decouple.dev/decouple"
)

// mark is the newest acknowledged position, its event's checksum and the newest acknowledged beat, in a small file beside the database. It is
// written after every sync of the log and itself synced at most every markSync, so a killed process leaves it exact, and a power cut leaves it
// that much behind.
type mark struct {
	f     *os.File
	open  sync.Mutex // held while the file is synced or closed
	mu    sync.Mutex // guards what follows
	slot  int64
	dirty bool
	timer *time.Timer
	done  bool
}

const (
	markFile = "journal.mark"
	markSlot = 64 // bytes; two slots are written in turn, so that a torn write leaves the other
	markSync = 50 * time.Millisecond
)

// markValue is how far the journal is. The beat counts transactions that changed something without an event: they too must not get lost unseen.
type markValue struct {
	pos  decouple.Position
	sum  [32]byte
	beat int64
}

// markBody is the part of a slot that its checksum covers: position, checksum of the event, beat.
const markBody = 8 + 32 + 8

// readMark gives the newest valid slot; ok is false if there is no file.
func readMark(dir string) (v markValue, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	valid := false
	for off := 0; off+markSlot <= len(b); off += markSlot {
		s := b[off : off+markSlot]
		if crc32.ChecksumIEEE(s[:markBody]) != binary.BigEndian.Uint32(s[markBody:]) {
			continue
		}
		p, beat := decouple.Position(binary.BigEndian.Uint64(s)), int64(binary.BigEndian.Uint64(s[40:]))
		if !valid || p > v.pos || p == v.pos && beat > v.beat {
			v.pos, v.beat, valid = p, beat, true
			copy(v.sum[:], s[8:40])
		}
	}
	if !valid {
		return v, false, decouple.Errorf(decouple.Internal, "the journal's mark %s is damaged: run `decouple verify --accept` after looking at what it reports", filepath.Join(dir, markFile))
	}
	return v, true, nil
}

// openMark puts a mark in place that says what the journal holds. The file appears whole or not at all, whenever this process is killed.
func openMark(dir string, now markValue) (*mark, error) {
	name := filepath.Join(dir, markFile)
	f, err := os.OpenFile(name+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	slot := now.encode()
	_, err = f.Write(slot[:])
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &mark{f: f, slot: 1}, nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// encode is a slot of the file.
func (v markValue) encode() (s [markSlot]byte) {
	binary.BigEndian.PutUint64(s[:], uint64(v.pos))
	copy(s[8:], v.sum[:])
	binary.BigEndian.PutUint64(s[40:], uint64(v.beat))
	binary.BigEndian.PutUint32(s[markBody:], crc32.ChecksumIEEE(s[:markBody]))
	return s
}

// set writes v; it is on disk within markSync, or at close.
func (m *mark) set(v markValue) error {
	s := v.encode()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.f.WriteAt(s[:], m.slot*markSlot); err != nil {
		return err
	}
	m.slot = 1 - m.slot
	if !m.dirty && !m.done {
		m.dirty = true
		m.timer = time.AfterFunc(markSync, m.sync)
	}
	return nil
}

func (m *mark) sync() {
	m.open.Lock()
	defer m.open.Unlock()
	m.mu.Lock()
	m.dirty = false
	done := m.done
	m.mu.Unlock()
	if !done {
		// A failure leaves the mark behind by what the next sync brings; it never lets something be taken for durable.
		_ = Datasync(m.f)
	}
}

func (m *mark) close() error {
	m.open.Lock()
	defer m.open.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = true
	if m.timer != nil {
		m.timer.Stop()
	}
	return errors.Join(Datasync(m.f), m.f.Close())
}
