package credential_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/credential"
)

// proof is the Authorization header that an account's calls get.
func proof(t *testing.T, a credential.Authorizer) (string, error) {
	t.Helper()
	got, err := a.Authorize(t.Context(), credential.Call{Method: "POST", URL: "https://example.com/v1", Header: []credential.Field{{Name: "Content-Type", Value: "application/json"}}})
	if err != nil {
		return "", err
	}
	if len(got) != 2 || got[0].Name != "Content-Type" || got[1].Name != "Authorization" {
		t.Errorf("headers %+v", got)
	}
	return got[len(got)-1].Value, nil
}

// TestEntra asks a real server in the manner of Microsoft Entra.
func TestEntra(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var status atomic.Int64
	status.Store(200)
	mux := http.NewServeMux()
	mux.HandleFunc("/tenant/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if err := r.ParseForm(); err != nil || r.Form.Get("client_id") != "app" || r.Form.Get("client_secret") != canary || r.Form.Get("scope") == "" || !strings.Contains(r.Form.Get("scope"), "cognitiveservices") {
			w.WriteHeader(400)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		if status.Load() != 200 {
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"no such secret %s"}`, r.Form.Get("client_secret"))
			return
		}
		fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"entra-token"}`)
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("/tenant/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"token_endpoint":"%[1]s/tenant/oauth2/v2.0/token","authorization_endpoint":"%[1]s/tenant/oauth2/v2.0/authorize","issuer":"%[1]s/tenant/v2.0"}`, s.URL)
	})
	auth := credential.Auth{Method: credential.Entra, Entra: credential.EntraApp{Tenant: "tenant", ClientID: "app", Secret: credential.NewSecret(canary), Authority: s.URL + "/"}}
	a, err := auth.Over(s.Client())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := proof(t, a); err != nil || got != "Bearer entra-token" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	if asked.Load() != 1 {
		t.Errorf("%d requests for a token", asked.Load())
	}
	status.Store(401)
	refused, err := auth.Over(s.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof(t, refused); decouple.KindOf(err) != decouple.Unauthenticated || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "AZURE_CLIENT_SECRET") {
		t.Errorf("refused: %v", err)
	}
	if _, err := (credential.Auth{Method: credential.Entra, Entra: credential.EntraApp{Tenant: "not a tenant!", ClientID: "app", Secret: credential.NewSecret(canary)}}).Authorizer(); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("an impossible tenant: %v", err)
	}
}

// serviceAccount writes the file of a service account whose tokens come from a server of the test.
func serviceAccount(t *testing.T, tokenURL string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "1", "client_email": "robot@example.com", "client_id": "1", "token_uri": tokenURL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestGoogle asks a real server in the manner of Google.
func TestGoogle(t *testing.T) {
	t.Parallel()
	var asked, status atomic.Int64
	status.Store(200)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if err := r.ParseForm(); err != nil || strings.Count(r.Form.Get("assertion"), ".") != 2 {
			w.WriteHeader(400)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		if status.Load() != 200 {
			fmt.Fprint(w, `{"error":"invalid_grant\u001b[31m"}`)
			return
		}
		fmt.Fprint(w, `{"access_token":"google-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(s.Close)
	file := serviceAccount(t, s.URL)
	fresh := func() credential.Authorizer {
		a, err := credential.Auth{Method: credential.GoogleAuth, Google: credential.GoogleApp{File: file}}.Authorizer()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := fresh()
	for range 3 {
		if got, err := proof(t, a); err != nil || got != "Bearer google-token" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d requests for a token", asked.Load())
	}
	for code, kind := range map[int64]decouple.Kind{400: decouple.Unauthenticated, 503: decouple.Unavailable} {
		status.Store(code)
		if _, err := proof(t, fresh()); decouple.KindOf(err) != kind || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%d: %v", code, err)
		}
	}
	s.Close()
	if _, err := proof(t, fresh()); decouple.KindOf(err) != decouple.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
	for _, content := range []string{"", "{}", "[]", `{"type":"robot"}`, `{"type":"service_account"}`} {
		bad := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := credential.Auth{Method: credential.GoogleAuth, Google: credential.GoogleApp{File: bad}}.Authorizer()
		if err == nil {
			_, err = a.Authorize(t.Context(), credential.Call{})
		}
		if err == nil {
			t.Errorf("%q was taken", content)
		}
	}
	if _, err := (credential.Auth{Method: credential.GoogleAuth, Google: credential.GoogleApp{File: "/nowhere"}}).Authorizer(); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("no file: %v", err)
	}
}

// TestGoogleMachine asks a metadata server, which the library finds by a variable of the process: it cannot run beside others.
func TestGoogleMachine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || !strings.HasSuffix(r.URL.Path, "/token") {
			w.WriteHeader(404)
			return
		}
		fmt.Fprint(w, `{"access_token":"machine-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(s.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(s.URL, "http://"))
	a, err := credential.Auth{Method: credential.GoogleAuth, Google: credential.GoogleApp{File: "/nowhere", Optional: true}}.Authorizer()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proof(t, a); err != nil || got != "Bearer machine-token" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAWSContainer takes the keys of a container's role from a real server, as the AWS SDK finds it by variables of the process.
func TestAWSContainer(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		fmt.Fprintf(w, `{"AccessKeyId":"AKIDROLE","SecretAccessKey":%q,"Token":"session","Expiration":"2099-01-01T00:00:00Z"}`, canary)
	}))
	t.Cleanup(s.Close)
	for k, v := range map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.URL + "/role", "AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	a, err := credential.Auth{Method: credential.SigV4, AWS: credential.AWS{Region: "us-east-1"}}.Authorizer()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := a.Authorize(t.Context(), credential.Call{Method: "POST", URL: "https://bedrock-runtime.eu-central-1.amazonaws.com/model/m/converse"})
		if err != nil {
			t.Fatal(err)
		}
		if all := fmt.Sprint(got); !strings.Contains(all, "AKIDROLE/") || !strings.Contains(all, "/eu-central-1/bedrock/aws4_request") || !strings.Contains(all, "X-Amz-Security-Token session") {
			t.Errorf("%s", all)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d requests for keys", asked.Load())
	}
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
	none, err := credential.Auth{Method: credential.SigV4, AWS: credential.AWS{Region: "us-east-1"}}.Authorizer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Authorize(t.Context(), credential.Call{Method: "POST", URL: "https://bedrock-runtime.eu-central-1.amazonaws.com/"}); decouple.KindOf(err) != decouple.Unauthenticated || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Errorf("nothing to be found: %v", err)
	}
}

func TestKeysInHeaders(t *testing.T) {
	t.Parallel()
	for m, want := range map[credential.Method]credential.Field{
		credential.Bearer: {Name: "Authorization", Value: "Bearer " + canary}, credential.XAPIKey: {Name: "X-Api-Key", Value: canary},
		credential.APIKey: {Name: "Api-Key", Value: canary}, credential.XGoogKey: {Name: "X-Goog-Api-Key", Value: canary},
	} {
		a, err := credential.Auth{Method: m, Key: credential.NewSecret(canary)}.Authorizer()
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "http://example.com/v1", nil)
		if err := credential.Apply(context.Background(), a, r, nil); err != nil || r.Header.Get(want.Name) != want.Value || len(r.Header) != 1 {
			t.Errorf("%s: %v, %v", m, r.Header, err)
		}
		if _, err := (credential.Auth{Method: m}).Authorizer(); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%s without a key: %v", m, err)
		}
	}
	a, err := credential.Auth{}.Authorizer()
	if got, err2 := a.Authorize(t.Context(), credential.Call{}); err != nil || err2 != nil || len(got) != 0 {
		t.Errorf("no proof: %v %v %v", got, err, err2)
	}
	for _, bad := range []credential.Auth{{Method: "magic"}, {Method: credential.SigV4, AWS: credential.AWS{KeyID: "AKID"}}} {
		if _, err := bad.Authorizer(); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
