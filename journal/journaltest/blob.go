package journaltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing/iotest"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func blobCases() []testCase {
	return []testCase{
		{"every size", testBlobSizes},
		{"one address within tenant and subject", testBlobAddress},
		{"a reader that fails leaves nothing", testBlobHalf},
		{"the sweeper takes what nobody pinned", testSweep},
		{"what is put again is young again", testSweepPutAgain},
		{"a pin is for its tenant", testPinTenant},
		{"many at the same moment", testBlobConcurrent},
		{"pins, sweeps and puts at the same moment", testSweepRace},
	}
}

// content is n bytes that look like nothing.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	if _, err := io.ReadFull(r, b); err != nil {
		panic(err)
	}
	return b
}

// blob puts content for the tenant itself.
func (f *fixture) blob(b []byte) decouple.BlobID {
	f.t.Helper()
	got, err := f.PutBlob(f.ctx(), tenant, "", bytes.NewReader(b))
	if err != nil {
		f.t.Fatalf("PutBlob of %d bytes: %v", len(b), err)
	}
	if got.Size != int64(len(b)) {
		f.t.Fatalf("PutBlob of %d bytes says %d", len(b), got.Size)
	}
	return got.ID
}

func (f *fixture) address(b []byte) decouple.BlobID {
	f.t.Helper()
	id, err := f.Address(f.ctx(), tenant, "", b)
	if err != nil {
		f.t.Fatalf("Address: %v", err)
	}
	return id
}

// get is the content of a blob.
func (f *fixture) get(id decouple.BlobID) []byte {
	f.t.Helper()
	b, err := fetch(f, tenant, id)
	if err != nil {
		f.t.Fatalf("GetBlob(%s): %v", id, err)
	}
	return b
}

// fetch reads a blob to its end.
func fetch(f *fixture, t decouple.TenantID, id decouple.BlobID) ([]byte, error) {
	r, err := f.GetBlob(f.ctx(), t, id)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// gone demands that a blob is not to be had and not to be pinned.
func (f *fixture) gone(t decouple.TenantID, id decouple.BlobID) {
	f.t.Helper()
	if b, err := fetch(f, t, id); decouple.KindOf(err) != decouple.NotFound {
		f.t.Fatalf("GetBlob(%s, %s) = %d bytes, %v, want not_found", t, id, len(b), err)
	}
	s := decouple.Stream{Tenant: t, Kind: decouple.StreamNote, ID: "pinner"}
	f.refuse(decouple.NotFound, journal.Mutation{Stream: s, Events: numbered(1), Pin: []decouple.BlobID{id}})
}

func (f *fixture) sweep(age time.Duration, want int) {
	f.t.Helper()
	if n, err := f.Sweep(f.ctx(), age); err != nil || n != want {
		f.t.Fatalf("Sweep(%v) = %d, %v, want %d", age, n, err, want)
	}
}

// pin pins blobs by a commit of its own.
func (f *fixture) pin(blobs ...decouple.BlobID) {
	f.t.Helper()
	id := f.id()
	f.commit(journal.Mutation{ID: id, Stream: note("pin-" + string(id)), Events: numbered(1), Pin: blobs})
}

func testBlobSizes(f *fixture) {
	sizes := []int{0, 1, journal.MaxPayload + 1, journal.ChunkSize - 1, journal.ChunkSize, journal.ChunkSize + 1, 3*journal.ChunkSize + journal.ChunkSize/2}
	blobs := map[int]decouple.BlobID{}
	for i, n := range sizes {
		b := content(n, uint64(i))
		blobs[n] = f.blob(b)
		equal(f, "address of what was put", f.address(b), blobs[n])
		got, err := f.PutBlob(f.ctx(), tenant, "", iotest.HalfReader(bytes.NewReader(b)))
		if err != nil {
			f.t.Fatal(err)
		}
		equal(f, "blob put again in small pieces", got, journal.Blob{ID: blobs[n], Size: int64(n)})
		f.pin(blobs[n])
	}
	for range 2 {
		for i, n := range sizes {
			if !bytes.Equal(f.get(blobs[n]), content(n, uint64(i))) {
				f.t.Fatalf("a blob of %d bytes came back changed", n)
			}
		}
		f.reopen()
	}
}

func testBlobAddress(f *fixture) {
	b := content(2000, 1)
	seen := map[decouple.BlobID]string{}
	for _, t := range []decouple.TenantID{tenant, "acme"} {
		for _, s := range []decouple.SubjectID{"", "one", "two"} {
			who := fmt.Sprintf("%s/%s", t, s)
			at, err := f.Address(f.ctx(), t, s, b)
			if err != nil {
				f.t.Fatal(err)
			}
			got, err := f.PutBlob(f.ctx(), t, s, bytes.NewReader(b))
			if err != nil {
				f.t.Fatal(err)
			}
			equal(f, "address of what was put for "+who, got.ID, at)
			if other, ok := seen[at]; ok {
				f.t.Fatalf("%s and %s have the same address for the same content", who, other)
			}
			seen[at] = who
			if content, err := fetch(f, t, at); err != nil || !bytes.Equal(content, b) {
				f.t.Fatalf("blob of %s: %d bytes, %v", who, len(content), err)
			}
		}
	}
	mine := f.address(b)
	f.gone("acme", mine)
	other := f.address(content(2001, 1))
	if other == mine {
		f.t.Fatal("different content has the same address")
	}
	f.gone(tenant, other)
	f.reopen()
	equal(f, "address after reopening", f.address(b), mine)
}

// testBlobHalf breaks off readers at different places: neither what was to come nor what had come may be there.
func testBlobHalf(f *fixture) {
	broken := errors.New("the reader is gone")
	whole := content(2*journal.ChunkSize+1000, 3)
	for _, n := range []int{0, 10, journal.ChunkSize, journal.ChunkSize + 1, 2 * journal.ChunkSize, len(whole)} {
		got, err := f.PutBlob(f.ctx(), tenant, "", io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			f.t.Fatalf("PutBlob of a reader that fails after %d bytes = %+v, %v, want the reader's error", n, got, err)
		}
		f.gone(tenant, f.address(whole[:n]))
		f.gone(tenant, f.address(whole))
	}
	f.reopen()
	f.gone(tenant, f.address(whole))
	if !bytes.Equal(f.get(f.blob(whole)), whole) {
		f.t.Fatal("a blob that was begun before came back changed")
	}
}

func testSweep(f *fixture) {
	pinned, loose := f.blob(content(1500, 1)), f.blob(content(journal.ChunkSize+10, 2))
	f.pin(pinned)
	f.sweep(time.Hour, 0)
	f.get(loose)
	f.sweep(0, 1)
	f.gone(tenant, loose)
	f.sweep(0, 0)
	f.reopen()
	f.sweep(0, 0)
	equal(f, "size of the pinned blob", len(f.get(pinned)), 1500)
	equal(f, "address of a blob put after it was swept", f.blob(content(journal.ChunkSize+10, 2)), loose)
	equal(f, "size of a blob put after it was swept", len(f.get(loose)), journal.ChunkSize+10)
	f.blob(content(1500, 1))
	f.pin(pinned, loose, loose)
	f.sweep(0, 0)
}

// testSweepPutAgain puts a blob again when it is old: its day begins anew, for a commit that is to pin it may be on its way.
func testSweepPutAgain(f *fixture) {
	const age = 100 * time.Millisecond
	b := content(100, 1)
	id := f.blob(b)
	for range 20 {
		<-time.After(2 * age)
		again := time.Now()
		f.blob(b)
		n, err := f.Sweep(f.ctx(), age)
		if err != nil {
			f.t.Fatal(err)
		}
		if time.Since(again) >= age {
			f.blob(b) // the machine was too slow for this round to say anything
			continue
		}
		equal(f, "blobs swept", n, 0)
		f.get(id)
		return
	}
	f.t.Fatal("the machine is too slow to tell")
}

func testPinTenant(f *fixture) {
	mine := f.blob(content(10, 1))
	theirs, err := f.PutBlob(f.ctx(), "acme", "", bytes.NewReader(content(10, 1)))
	if err != nil {
		f.t.Fatal(err)
	}
	f.refuse(decouple.NotFound, journal.Mutation{Stream: note("s"), Events: numbered(1), Pin: []decouple.BlobID{mine, theirs.ID}})
	f.sweep(0, 2)
}

func testBlobConcurrent(f *fixture) {
	const callers = 6
	b := content(journal.ChunkSize+5, 7)
	ids := make([]decouple.BlobID, callers)
	f.allFine(together(callers, func(i int) error {
		blob, err := f.PutBlob(f.ctx(), tenant, "", bytes.NewReader(b[i/3:]))
		ids[i] = blob.ID
		return err
	}))
	for i, id := range ids {
		equal(f, "address", id, f.address(b[i/3:]))
		if !bytes.Equal(f.get(id), b[i/3:]) {
			f.t.Fatal("a blob put by several callers at once came back changed")
		}
	}
}

// testSweepRace lets commits pin blobs while a sweeper takes everything it can: a commit that went through has its blob for good, one that was
// too late is NotFound.
func testSweepRace(f *fixture) {
	const callers, each = 4, 15
	kept := make([][]decouple.BlobID, callers)
	f.allFine(together(callers+1, func(i int) error {
		for n := range each {
			if i == callers {
				if _, err := f.Sweep(f.ctx(), 0); err != nil {
					return err
				}
				continue
			}
			b, err := f.PutBlob(f.ctx(), tenant, "", bytes.NewReader(content(100+n, uint64(i))))
			if err != nil {
				return err
			}
			id := fmt.Sprintf("%d/%d", i, n)
			_, err = f.Commit(f.ctx(), journal.Mutation{ID: decouple.CommitID(id), Stream: note(id), Events: numbered(1), Pin: []decouple.BlobID{b.ID}})
			switch decouple.KindOf(err) {
			case "":
				kept[i] = append(kept[i], b.ID)
			case decouple.NotFound:
			default:
				return err
			}
		}
		return nil
	}))
	if _, err := f.Sweep(f.ctx(), 0); err != nil {
		f.t.Fatal(err)
	}
	for _, ids := range kept {
		for _, id := range ids {
			f.get(id)
		}
	}
}
