package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"decouple.dev/decouple"
)

// FuzzWALEnd reads any bytes as a write-ahead log.
func FuzzWALEnd(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x02\x00" + string(make([]byte, 2000))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < walHeader {
			return
		}
		end, same := walEnd(b)
		if end < walHeader || end > len(b) || same < 0 || same > len(b)/(frameHeader+512) {
			t.Errorf("a log of %d bytes ends at %d with %d frames behind", len(b), end, same)
		}
	})
}

// FuzzMark reads any bytes as a mark, and after them one that was written.
func FuzzMark(f *testing.F) {
	f.Add([]byte{}, int64(1), int64(2))
	f.Add(make([]byte, 2*markSlot), int64(7), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, pos, beat int64) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, markFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, ok, err := readMark(dir); ok && err != nil || !ok && v != (markValue{}) {
			t.Errorf("readMark = %+v, %v, %v", v, ok, err)
		}
		want := markValue{pos: decouple.Position(pos), sum: [32]byte{byte(pos), 31: 1}, beat: beat}
		m, err := openMark(dir, want)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
		if v, ok, err := readMark(dir); !ok || err != nil || v != want {
			t.Errorf("readMark = %+v, %v, %v, want %+v", v, ok, err, want)
		}
	})
}
