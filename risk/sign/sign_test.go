package sign_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/sign"
)

const kind = "application/vnd.decouple.test+json"

func key(t testing.TB, digit string) *sign.Key {
	t.Helper()
	k, err := sign.Parse(strings.Repeat(digit, 64), "the test")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestPAE is the example of the DSSE specification.
func TestPAE(t *testing.T) {
	t.Parallel()
	if got := string(sign.PAE("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Error(got)
	}
}

// TestEd25519 pins the key and the signature: what was signed by one version is checked by the next.
func TestEd25519(t *testing.T) {
	t.Parallel()
	// The second test vector of RFC 8032: its seed has this public key.
	k, err := sign.Parse("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "the RFC")
	if err != nil {
		t.Fatal(err)
	}
	if want := "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"; !strings.Contains(hex.EncodeToString(der(t, k)), want) {
		t.Error("the public key is another one than that of RFC 8032")
	}
	b, err := k.Envelope(kind, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"payloadType":"application/vnd.decouple.test+json","payload":"e30=","signatures":[{"keyid":"39f713d0a644253f04529421b9f51b9b08979d08295959c4f3990ee617f5139f","sig":"6R0GnuiyuCSVEfm2i6AwXSq753W2BKdDfyusC2mlabSP6Io4Ez31ew0EbyI9j1MJGGqHW8R8wF8Wap4+dBBXAg=="}]}` + "\n"
	if string(b) != want {
		t.Errorf("a signature changes: %s", b)
	}
}

func der(t *testing.T, k *sign.Key) []byte {
	t.Helper()
	p, err := sign.ParsePublic([]byte("\n" + k.Public().PEM() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.ID() != k.Public().ID() {
		t.Error("a public key that was read has another name")
	}
	block, _ := pem.Decode([]byte(k.Public().PEM()))
	return block.Bytes
}

// TestEveryByte changes, drops and adds each byte of an envelope: all are refused.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	k := key(t, "1")
	payload := []byte(`{"text":"<what> & \u2028 happened"}`)
	b, err := k.Envelope(kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sign.Open(b, kind, k.Public())
	if err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("%q %v", got, err)
	}
	for i := range b {
		for _, bad := range [][]byte{replaced(b, i, b[i]^1), replaced(b, i, b[i]^0x20), append(append([]byte{}, b[:i]...), b[i+1:]...), b[:i],
			append(append(append([]byte{}, b[:i]...), ' '), b[i:]...)} {
			if _, err := sign.Open(bad, kind, k.Public()); err == nil {
				t.Fatalf("a change at byte %d is not seen: %s", i, bad)
			} else if kind := decouple.KindOf(err); kind != decouple.Invalid && kind != decouple.Denied {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func replaced(b []byte, i int, c byte) []byte {
	out := append([]byte{}, b...)
	out[i] = c
	return out
}

func TestRefused(t *testing.T) {
	t.Parallel()
	k := key(t, "1")
	b, err := k.Envelope(kind, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Open(b, kind, key(t, "2").Public()); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("another key: %v", err)
	}
	if _, err := sign.Open(b, "application/vnd.decouple.other+json", k.Public()); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("another type: %v", err)
	}
	if _, err := sign.Open(b, kind, sign.Public{}); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("no key: %v", err)
	}
	var e struct {
		PayloadType, Payload string
		Signatures           []map[string]string
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	loud := strings.Replace(string(b), e.Signatures[0]["keyid"], `\u001b[31mred\n`, 1)
	if _, err := sign.Open([]byte(loud), kind, k.Public()); err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("an error that paints the terminal: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "signing.key")
	if _, err := sign.Load(path); decouple.KindOf(err) != decouple.NotFound {
		t.Fatalf("no file: %v", err)
	}
	ids := make([]string, 8)
	var work sync.WaitGroup
	for i := range ids {
		work.Go(func() {
			k, err := sign.Make(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.Public().ID()
		})
	}
	work.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("processes that make the key at once have different ones")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".signing-*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Make(path); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("a key that others can read: %v", err)
	}
	short := filepath.Join(t.TempDir(), "signing.key")
	if err := os.WriteFile(short, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Make(short); decouple.KindOf(err) != decouple.Invalid || strings.Contains(err.Error(), "abc") {
		t.Errorf("a damaged key: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := key(f, "1")
	good, err := k.Envelope(kind, []byte(`{"a":1}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"payloadType":"a","payload":"","signatures":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := sign.Open(b, kind, k.Public())
		if err == nil && !bytes.Equal(b, good) {
			t.Errorf("what was never signed is taken: %q", got)
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	f.Add([]byte(key(f, "1").Public().PEM()))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sign.ParsePublic(b)
		if err != nil {
			return
		}
		if again, err := sign.ParsePublic([]byte(p.PEM())); err != nil || again.ID() != p.ID() {
			t.Errorf("%v", err)
		}
	})
}
