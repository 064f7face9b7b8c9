package dialect_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

var update = flag.Bool("update", false, "rewrite the expected files in testdata")

// golden compares got with a file of testdata.
func golden(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// outcome is what the expected files hold.
type outcome struct {
	Answer *decouple.Answer `json:"answer,omitempty"`
	Heard  string           `json:"heard,omitempty"` // the deltas, with | between them; a dot is a line that moved without text
	Error  string           `json:"error,omitempty"`
	Kind   decouple.Kind    `json:"kind,omitempty"`
	Refuse []string         `json:"refuses,omitempty"`
}

func (o outcome) bytes(t *testing.T) []byte {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(o); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

func result(a decouple.Answer, err error) outcome {
	var f *dialect.Fault
	switch {
	case err == nil:
		return outcome{Answer: &a}
	case errors.As(err, &f):
		return outcome{Error: "the server says: " + f.Error(), Kind: f.Kind()}
	}
	return outcome{Error: err.Error(), Kind: decouple.KindOf(err)}
}

func tools(names ...string) decouple.Request {
	var r decouple.Request
	for _, n := range names {
		r.Tools = append(r.Tools, decouple.ToolSpec{Name: n})
	}
	return r
}

func offered() dialect.Names { return dialect.NewNames(tools("notes.search", "notes.read")) }

func hear(s *dialect.ChatStream, data string) outcome {
	var heard []string
	for line := range strings.Lines(data + "\n\n") {
		d, err := s.Line(line)
		if err != nil {
			o := result(decouple.Answer{}, err)
			o.Heard = strings.Join(heard, "|")
			return o
		}
		switch {
		case d.Text != "":
			heard = append(heard, d.Text)
		case d.Moved:
			heard = append(heard, ".")
		}
	}
	o := result(s.End())
	o.Heard = strings.Join(heard, "|")
	return o
}

func TestStreamTellsWhatItHas(t *testing.T) {
	t.Parallel()
	var s dialect.ChatStream
	for _, line := range []string{`data: {"choices":[{"delta":{"content":"half"}}]}` + "\r\n", "\r\n"} {
		if _, err := s.Line(line); err != nil {
			t.Fatal(err)
		}
	}
	if s.Text() != "half" || s.Done() {
		t.Errorf("text %q, done %v", s.Text(), s.Done())
	}
	hear(&s, "data: [DONE]")
	if !s.Done() {
		t.Error("the end mark did not end the stream")
	}
}

func TestTooManyCalls(t *testing.T) {
	t.Parallel()
	calls := strings.Repeat(`{"function":{"name":"x"}},`, 257)
	_, err := dialect.DecodeChat([]byte(`{"choices":[{"message":{"tool_calls":[`+strings.TrimSuffix(calls, ",")+`]}}]}`), offered())
	if decouple.KindOf(err) != decouple.Unavailable || !strings.Contains(err.Error(), "256") {
		t.Errorf("257 calls: %v", err)
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "testdata/openai.chat/fault/*.json") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			var status int
			if err := json.Unmarshal([]byte(filepath.Base(file)[:3]), &status); err != nil {
				t.Fatal(err)
			}
			f := dialect.ParseFault(status, read(t, file))
			o := outcome{Error: f.Error(), Kind: f.Kind()}
			for _, p := range []string{"stream_options", "max_tokens"} {
				if f.Refuses(p) {
					o.Refuse = append(o.Refuse, p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".json")+".want", o.bytes(t))
		})
	}
}

func TestFaultWithoutStatus(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]decouple.Kind{
		"Too many requests":                  decouple.RateLimited,
		"authentication failed":              decouple.Unauthenticated,
		"permission denied":                  decouple.Denied,
		"model_not_found":                    decouple.NotFound,
		"BadRequestError":                    decouple.Invalid,
		"the context size has been exceeded": decouple.TooLarge,
		"something happened":                 decouple.Unavailable,
		"":                                   decouple.Unavailable,
		"you have hit your billing_hard_limit ok": decouple.Denied,
	} {
		if got := (&dialect.Fault{Type: said}).Kind(); got != want {
			t.Errorf("%q is %s, want %s", said, got, want)
		}
	}
	if got := (&dialect.Fault{}).Error(); got != "an error without a message" {
		t.Errorf("empty fault: %q", got)
	}
	if got := (&dialect.Fault{Status: 409}).Kind(); got != decouple.Unavailable {
		t.Errorf("409 is %s", got)
	}
}

func files(t testing.TB, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) == 0 {
		t.Fatalf("no files at %s: %v", pattern, err)
	}
	return all
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
