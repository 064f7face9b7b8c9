package credential_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/credential"
)

const keyID = "AKIDEXAMPLE"

func knows(id string) (credential.Secret, bool) {
	return credential.NewSecret(canary), id == keyID
}

// signedRequest is a request of Bedrock, signed by the AWS SDK, with more headers than it needs.
func signedRequest(t testing.TB, at time.Time, url string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Target", "  two   spaces ")
	r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: canary, SessionToken: "session"}, r, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOwnSignatureOverTheWire signs as for Bedrock and verifies at a real server what came over HTTP.
func TestOwnSignatureOverTheWire(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = credential.VerifySigV4(r, body, knows, time.Now())
		}
		got <- err
	}))
	t.Cleanup(s.Close)
	a, err := credential.Auth{Method: credential.SigV4, AWS: credential.AWS{KeyID: keyID, SecretKey: credential.NewSecret(canary), Session: credential.NewSecret("session"), Region: "us-east-1"}}.Authorizer()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream", "/model/a/converse?b=2&a=1&a=0&c=%20x", "/", "",
	} {
		for _, body := range []string{"", `{"messages":[]}`} {
			r, err := http.NewRequest("POST", s.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("User-Agent", "decouple")
			if err := credential.Apply(t.Context(), a, r, []byte(body)); err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if err := <-got; err != nil {
				t.Errorf("%s with %q: %v", path, body, err)
			}
		}
	}
	nowhere, err := credential.Auth{Method: credential.SigV4, AWS: credential.AWS{KeyID: keyID, SecretKey: credential.NewSecret(canary)}}.Authorizer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nowhere.Authorize(t.Context(), credential.Call{Method: "POST", URL: s.URL}); decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("no region: %v", err)
	}
}

func TestVerifySigV4(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const url = "http://gateway.example.com:8080/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse?x=a+b&y"
	body := []byte(`{"messages":[]}`)
	verify := func(r *http.Request, b []byte, at time.Time) error { return credential.VerifySigV4(r, b, knows, at) }
	if err := verify(signedRequest(t, now, url, body), body, now); err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		if err := verify(signedRequest(t, now, url, body), body, now.Add(off)); err != nil {
			t.Errorf("%s off: %v", off, err)
		}
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	swap := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	for name, change := range map[string]func(*http.Request){
		"method":            func(r *http.Request) { r.Method = "PUT" },
		"path":              func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/model/other/converse", "" },
		"query":             func(r *http.Request) { r.URL.RawQuery = "x=a+b&y&z=1" },
		"host":              func(r *http.Request) { r.Host = "other.example.com" },
		"signed header":     set("X-Amz-Target", "other"),
		"content type":      set("Content-Type", "text/plain"),
		"session":           set("X-Amz-Security-Token", "other"),
		"date":              set("X-Amz-Date", "20261130T120001Z"),
		"another day":       set("X-Amz-Date", "20261129T120000Z"),
		"no date":           func(r *http.Request) { r.Header.Del("X-Amz-Date") },
		"two dates":         func(r *http.Request) { r.Header.Add("X-Amz-Date", "20261130T120000Z") },
		"date nonsense":     set("X-Amz-Date", "now"),
		"unsigned amz":      set("X-Amz-Other", "x"),
		"unsigned payload":  set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
		"streamed payload":  set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
		"header gone":       func(r *http.Request) { r.Header.Del("Amz-Sdk-Request") },
		"no authorization":  func(r *http.Request) { r.Header.Del("Authorization") },
		"two authorization": func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) },
		"bearer":            set("Authorization", "Bearer "+canary),
		"basic":             set("Authorization", "Basic eDp5"),
		"signature":         swap("Signature=", "Signature=0"),
		"short signature":   set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261130/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00"),
		"empty signature":   set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261130/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature="),
		"key id":            swap(keyID, "AKIDOTHER"),
		"region":            swap("us-east-1", "us-east-2"),
		"service":           swap("/bedrock/", "/s3/"),
		"scope":             swap("aws4_request", "aws5_request"),
		"host not signed":   swap("host;", ""),
		"order of headers":  swap("SignedHeaders=", "SignedHeaders=x-z;"),
		"algorithm":         swap("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
		"in the url":        func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=00" },
	} {
		r := signedRequest(t, now, url, body)
		change(r)
		if err := verify(r, body, now); decouple.KindOf(err) != decouple.Unauthenticated {
			t.Errorf("%s changed: %v", name, err)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s shows the secret: %v", name, err)
		}
	}
}

func TestVerifyBodyTimeAndKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const url = "http://gateway.example.com:8080/model/m/converse"
	body := []byte(`{"messages":[]}`)
	verify := func(r *http.Request, b []byte, at time.Time) error { return credential.VerifySigV4(r, b, knows, at) }
	r := signedRequest(t, now, url, body)
	if err := verify(r, append(body, ' '), now); decouple.KindOf(err) != decouple.Unauthenticated {
		t.Errorf("another body: %v", err)
	}
	for _, off := range []time.Duration{-301 * time.Second, 301 * time.Second} {
		if err := verify(r, body, now.Add(off)); decouple.KindOf(err) != decouple.Unauthenticated {
			t.Errorf("%s off: %v", off, err)
		}
	}
	empty := func(string) (credential.Secret, bool) { return credential.Secret{}, true }
	if err := credential.VerifySigV4(r, body, empty, now); decouple.KindOf(err) != decouple.Unauthenticated {
		t.Errorf("an empty secret: %v", err)
	}
	// Who guesses what stands in for the secret of a key that is not known, or signs with nothing, is refused all the same.
	for secret, of := range map[string]func(string) (credential.Secret, bool){
		"no such key": func(string) (credential.Secret, bool) { return credential.Secret{}, false },
		"":            empty,
	} {
		forged := signedRequest(t, now, url, body)
		forged.Header.Del("Authorization")
		hash := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: "session"}, forged, hex.EncodeToString(hash[:]), "bedrock", "us-east-1", now); err != nil {
			t.Fatal(err)
		}
		if err := credential.VerifySigV4(forged, body, of, now); decouple.KindOf(err) != decouple.Unauthenticated {
			t.Errorf("signed with %q: %v", secret, err)
		}
	}
	// A wrong key and a wrong signature are told alike.
	unknown, wrong := signedRequest(t, now, url, body), signedRequest(t, now, url, body)
	unknown.Header.Set("Authorization", strings.Replace(unknown.Header.Get("Authorization"), keyID, "AKIDOTHER", 1))
	wrong.Header.Set("Content-Type", "x")
	if a, b := verify(unknown, body, now), verify(wrong, body, now); a.Error() != b.Error() {
		t.Errorf("%v and %v", a, b)
	}
	if id, signed := credential.SignedBy(r); id != keyID || !signed {
		t.Errorf("signed by %q", id)
	}
	if _, signed := credential.SignedBy(httptest.NewRequest("GET", "/", nil)); signed {
		t.Error("it is not signed at all")
	}
}

func FuzzVerifySigV4(f *testing.F) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	good := signedRequest(f, now, "http://h/model/m/converse", []byte("{}"))
	valid := good.Header.Get("Authorization")
	f.Add(valid, "20261130T120000Z", "/model/m/converse")
	f.Add("AWS4-HMAC-SHA256 Credential=a/20261130/r/bedrock/aws4_request,SignedHeaders=host;host,Signature=", "20261130T120000Z", "/%zz")
	f.Add("AWS4-HMAC-SHA256 ====,,,;;;", "", "")
	f.Fuzz(func(t *testing.T, header, date, path string) {
		r := good.Clone(context.Background())
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Amz-Date", date)
		r.URL.Path, r.URL.RawPath = path, ""
		err := credential.VerifySigV4(r, []byte("{}"), knows, now)
		if err == nil && (path != "/model/m/converse" || date != "20261130T120000Z") {
			t.Fatalf("%q at %q was taken for %q", header, date, path)
		}
		if err == nil && sum(header) != sum(valid) {
			t.Fatalf("%q was taken", header)
		}
		if err != nil && decouple.KindOf(err) != decouple.Unauthenticated {
			t.Fatal(err)
		}
	})
}

// sum is the signature in a header.
func sum(h string) string {
	_, s, _ := strings.Cut(h, "Signature=")
	s, _, _ = strings.Cut(s, ",")
	return strings.TrimSpace(s)
}
