package credential_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/credential"
)

const canary = "sk-canary-7f3a/9+b=\"q"

// everything prints a value in every way there is.
func everything(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range strings.Split("v +v #v s q x X d b o U p T t c e g 10v -20s # x", " ") {
		fmt.Fprintf(&out, "%"+verb+"\n", v)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	if b, err := json.Marshal(v); err == nil {
		out.Write(b)
	}
	if b, err := json.Marshal(map[string]any{"v": v}); err == nil {
		out.Write(b)
	}
	if b, err := xml.Marshal(v); err == nil {
		out.Write(b)
	}
	fmt.Fprintln(&out, v)
	return out.String()
}

// TestNoSecretIsPrinted: whatever holds a secret, however deep and in fields of whatever case, shows nothing of it.
func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	s := credential.NewSecret(canary)
	auth := credential.Auth{
		Method: credential.SigV4, Key: s, AWS: credential.AWS{KeyID: "AKIDEXAMPLE", SecretKey: s, Session: s},
		Entra: credential.EntraApp{Tenant: "t", ClientID: "c", Secret: s, Authority: "https://127.0.0.1:1/"},
	}
	account := credential.Account{Name: "a", Provider: "bedrock", Auth: auth}
	values := []any{
		s, &s, []credential.Secret{s}, map[string]credential.Secret{"k": s}, struct{ inside credential.Secret }{s}, &struct{ inside *credential.Secret }{&s}, [1]any{s},
		auth, &auth, account, &account, []credential.Account{account}, struct{ a credential.Account }{account}, struct{ a *credential.Account }{&account},
		fmt.Errorf("wrapped: %v", s), errors.Join(fmt.Errorf("%w %s", errors.New("x"), s)),
	}
	for _, m := range []credential.Method{credential.Bearer, credential.XAPIKey, credential.APIKey, credential.XGoogKey, credential.SigV4, credential.Entra} {
		with := auth
		with.Method = m
		a, err := with.Authorizer()
		if err != nil {
			t.Fatal(m, err)
		}
		values = append(values, a, struct{ a credential.Authorizer }{a}, struct{ A credential.Authorizer }{a}, []credential.Authorizer{a})
	}
	for _, v := range values {
		shown := everything(t, v)
		for _, form := range []string{canary, "canary", fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), "sk-"} {
			if strings.Contains(shown, form) {
				t.Fatalf("%T shows %q:\n%s", v, form, shown)
			}
		}
	}
	if s.Reveal() != canary || s.Empty() || !credential.NewSecret("").Empty() || !s.Equal(credential.NewSecret(canary)) || s.Equal(credential.NewSecret("x")) {
		t.Error("a secret is what it was made of")
	}
}

func TestCleaner(t *testing.T) {
	t.Parallel()
	quoted, _ := json.Marshal(canary)
	clean := credential.Account{Auth: credential.Auth{Key: credential.NewSecret(canary), AWS: credential.AWS{SecretKey: credential.NewSecret("second-secret")}}}.Cleaner()
	got := clean("bad key " + canary + " \x1b[31m or " + string(quoted) + " second-secret\n\tdone.")
	if want := "bad key [key] [31m or \"[key]\" [key] done"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := clean(strings.Repeat("é", 1000)); len([]rune(got)) != 403 {
		t.Errorf("%d runes", len([]rune(got)))
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	two := filepath.Join(dir, "two")
	if err := os.WriteFile(two, []byte(canary+"\n"+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		return map[string]string{"KEY": " " + canary + "\n", "BAD": canary + " " + canary, "BLANK": " "}[name]
	}
	for _, good := range []credential.Source{"env:KEY", credential.Source("file:" + file)} {
		if s, err := good.Read(env); err != nil || s.Reveal() != canary {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []credential.Source{"", canary, "env:", "file:", "env:NONE", "env:BLANK", "env:BAD", credential.Source("file:" + two), credential.Source("file:" + dir), "file:/nowhere/at/all", "http://x"} {
		s, err := bad.Read(env)
		if decouple.KindOf(err) != decouple.Invalid || !s.Empty() || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
