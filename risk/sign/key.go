package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"decouple.dev/decouple"
)

// Key signs.
type Key struct{ private ed25519.PrivateKey }

// Parse reads the 64 hexadecimal digits of a key's seed; where says whence they are, for the error.
func Parse(text, where string) (*Key, error) {
	seed, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, decouple.Errorf(decouple.Invalid, "%s holds no signing key of 64 hexadecimal digits: make one with `openssl rand -hex 32`, or restore the one that was there", where)
	}
	return &Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// Load reads a key file that nobody else can read. NotFound says that there is none.
func Load(path string) (*Key, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, decouple.Errorf(decouple.NotFound, "there is no signing key %s: `decouple exit key` makes it", path)
	case err != nil:
		return nil, decouple.Errorf(decouple.Unavailable, "the signing key cannot be read: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, decouple.Errorf(decouple.Denied, "%s can be read by others than its owner: chmod 600 it", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the signing key cannot be read: %w", err)
	}
	return Parse(string(b), path)
}

// Make reads a key file, and makes it if there is none. Of several processes that make it at once, one does, and all have that key.
func Make(path string) (*Key, error) {
	k, err := Load(path)
	if decouple.KindOf(err) != decouple.NotFound {
		return k, err
	}
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	if err := keep(path, hex.EncodeToString(seed)+"\n"); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the signing key cannot be kept: %w", err)
	}
	return Load(path)
}

// keep writes a whole file, or none, unless there is one already.
func keep(path, text string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".signing-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Public is the key that what this one signs is checked with.
func (k *Key) Public() Public {
	return Public{append(ed25519.PublicKey{}, k.private[ed25519.SeedSize:]...)}
}
