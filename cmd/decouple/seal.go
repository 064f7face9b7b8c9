package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"decouple.dev/decouple"
)

const (
	// sealFile holds the key that secrets of the journal are sealed with.
	sealFile = "seal.key"
	// sealVariable holds it instead, where nodes share a journal.
	sealVariable = "DECOUPLE_SEAL_KEY"
	sealBytes    = 32
)

// sealer seals the secrets that keys sign with, and opens them: whoever has the journal alone, or a copy of it, cannot. Its key is read, and made, when it is first needed.
type sealer struct {
	path   string // of the key's file
	given  string // the key, where the environment has it
	shared bool   // the journal is: a file here would be another one at each node

	mu   sync.Mutex
	aead cipher.AEAD
}

func (a *app) sealer(dir string) *sealer {
	url, err := a.shared()
	return &sealer{path: filepath.Join(dir, sealFile), given: a.env(sealVariable), shared: err != nil || url != ""}
}

// key is the cipher. Without a key it is made if it may be; else it is NotFound.
func (s *sealer) key(may bool) (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aead != nil {
		return s.aead, nil
	}
	text, where := s.given, sealVariable
	if text == "" && s.shared {
		return nil, decouple.Errorf(decouple.Invalid, "nodes that share a journal must share the key that secrets are sealed with: set %s to the same 64 hexadecimal digits at all of them", sealVariable)
	}
	if text == "" {
		where = s.path
		var err error
		if text, err = sealOf(where, may); err != nil {
			return nil, err
		}
	}
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != sealBytes {
		return nil, decouple.Errorf(decouple.Invalid, "%s holds no key of 64 hexadecimal digits: make one with `openssl rand -hex 32`, or restore the one that was there, which opens what is sealed", where)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the key that secrets are sealed with is none: %w", err)
	}
	s.aead, err = cipher.NewGCM(block)
	return s.aead, err
}

// sealOf reads a key file that nobody else can read, and makes it if it may.
func sealOf(path string, may bool) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) && may {
		raw := make([]byte, sealBytes)
		_, _ = rand.Read(raw) // never fails
		text := hex.EncodeToString(raw) + "\n"
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			return "", decouple.Errorf(decouple.Unavailable, "the key that secrets are sealed with cannot be kept: %w", err)
		}
		return text, nil
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", decouple.Errorf(decouple.NotFound, "there is no %s, which opens what is sealed: restore it from a copy", path)
	case err != nil:
		return "", decouple.Errorf(decouple.Unavailable, "the key that secrets are sealed with cannot be read: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return "", decouple.Errorf(decouple.Denied, "%s can be read by others than its owner: chmod 600 it", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the key that secrets are sealed with cannot be read: %w", err)
	}
	return string(b), nil
}

// bound binds what is sealed to the key that it belongs to.
func bound(id string) []byte { return []byte("decouple sigv4 " + id) }

// make makes the secret that a key signs with, and seals it.
func (s *sealer) make(id string) (sealed []byte, secret string, err error) {
	aead, err := s.key(true)
	if err != nil {
		return nil, "", err
	}
	secret = rand.Text() + rand.Text()[:14] // 40 characters, as those of AWS
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, []byte(secret), bound(id)), secret, nil
}

// open gives the secret that a key signs with. What was sealed with another key, or for another one, is no secret.
func (s *sealer) open(id string, sealed []byte) (string, error) {
	aead, err := s.key(false)
	if err != nil {
		return "", err
	}
	n := aead.NonceSize()
	if len(sealed) < n {
		return "", decouple.Errorf(decouple.Internal, "what is sealed for the key %s is damaged", id)
	}
	secret, err := aead.Open(nil, sealed[:n], sealed[n:], bound(id))
	if err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the secret of the key %s was sealed with another key than this node has: set %s to the same one at all nodes, or restore %s", id, sealVariable, sealFile)
	}
	return string(secret), nil
}
