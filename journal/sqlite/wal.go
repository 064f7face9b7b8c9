package sqlite

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// walNotes says what stands in the write-ahead log after its last whole transaction. A process that was killed while it wrote leaves such bytes, and so does
// damage: the mark tells them apart.
func (v *verifier) walNotes(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, dbFile+"-wal"))
	if err != nil || len(b) < walHeader {
		return
	}
	end, same := walEnd(b)
	if same > 0 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s-wal: %d frames of the present log follow the last whole transaction, which ends at byte %d", dbFile, same, end))
	}
}

const (
	walHeader   = 32
	frameHeader = 24
)

// walEnd gives the byte after the last whole transaction, and how many later frames carry the present log's salt.
func walEnd(b []byte) (end, same int) {
	var order binary.ByteOrder = binary.LittleEndian
	if binary.BigEndian.Uint32(b)&1 == 1 {
		order = binary.BigEndian
	}
	page := int(binary.BigEndian.Uint32(b[8:]))
	end = walHeader
	if page < 512 || page > 65536 {
		return end, 0
	}
	s1, s2 := walSum(order, b[:24], 0, 0)
	if s1 != binary.BigEndian.Uint32(b[24:]) || s2 != binary.BigEndian.Uint32(b[28:]) {
		return end, 0
	}
	salt := string(b[16:24])
	valid := true
	for at := walHeader; at+frameHeader+page <= len(b); at += frameHeader + page {
		f := b[at : at+frameHeader+page]
		if string(f[8:16]) != salt {
			break
		}
		same++
		s1, s2 = walSum(order, f[:8], s1, s2)
		s1, s2 = walSum(order, f[frameHeader:], s1, s2)
		valid = valid && s1 == binary.BigEndian.Uint32(f[16:]) && s2 == binary.BigEndian.Uint32(f[20:])
		if valid && binary.BigEndian.Uint32(f[4:]) != 0 {
			end, same = at+len(f), 0
		}
	}
	return end, same
}

// walSum is the checksum of the format: over pairs of 32-bit words.
func walSum(order binary.ByteOrder, b []byte, s1, s2 uint32) (uint32, uint32) {
	for i := 0; i+8 <= len(b); i += 8 {
		s1 += order.Uint32(b[i:]) + s2
		s2 += order.Uint32(b[i+4:]) + s1
	}
	return s1, s2
}
