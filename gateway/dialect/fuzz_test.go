package dialect_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

var onWire = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// FuzzNames checks that the names on the wire are permitted, differ, and lead back.
func FuzzNames(f *testing.F) {
	f.Add("a.b\na_b\na_b_2\n\na/b")
	f.Add(strings.Repeat("x", 64) + ".\n" + strings.Repeat("x", 64))
	f.Fuzz(func(t *testing.T, list string) {
		req := tools(strings.Split(list, "\n")...)
		n := dialect.NewNames(req)
		seen := map[string]string{}
		for _, spec := range req.Tools {
			w := n.Wire(spec.Name)
			if other, ok := seen[w]; ok && other != spec.Name {
				t.Fatalf("%q and %q are both %q", other, spec.Name, w)
			}
			seen[w] = spec.Name
			if !onWire.MatchString(w) || n.Own(w) != spec.Name {
				t.Fatalf("%q is %q on the wire and comes back as %q", spec.Name, w, n.Own(w))
			}
		}
	})
}

// check holds what every decoded answer promises: it can be stored, and sent again.
func check(t *testing.T, a decouple.Answer, err error) {
	t.Helper()
	if err != nil {
		return
	}
	if _, err := json.Marshal(a); err != nil {
		t.Fatalf("the answer cannot be stored: %v", err)
	}
	ids := map[string]bool{}
	for _, c := range a.Message.Calls() {
		if c.ID == "" || c.Name == "" || ids[c.ID] || !json.Valid(c.Args) {
			t.Fatalf("call %+v", c)
		}
		ids[c.ID] = true
	}
	if a.Usage.TokensIn < 0 || a.Usage.TokensOut < 0 {
		t.Fatalf("usage %+v", a.Usage)
	}
	if _, _, err := dialect.EncodeChat(decouple.Request{Messages: []decouple.Message{a.Message}}, dialect.ChatOptions{}); err != nil {
		t.Fatalf("the answer cannot be sent again: %v", err)
	}
}

func FuzzDecodeChat(f *testing.F) {
	for _, file := range files(f, "testdata/openai.chat/answer/*.json") {
		f.Add(read(f, file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := dialect.DecodeChat(data, offered())
		check(t, a, err)
	})
}

// FuzzChatStream also checks that what a watcher heard is what the answer says.
func FuzzChatStream(f *testing.F) {
	for _, file := range files(f, "testdata/openai.chat/stream/*.sse") {
		f.Add(string(read(f, file)))
	}
	f.Fuzz(func(t *testing.T, data string) {
		s := dialect.NewChatStream(offered())
		var heard strings.Builder
		for line := range strings.Lines(data + "\n\n") {
			d, err := s.Line(line)
			if err != nil {
				return
			}
			heard.WriteString(d.Text)
		}
		a, err := s.End()
		check(t, a, err)
		if err == nil && heard.String() != a.Message.Text() || heard.String() != s.Text() {
			t.Fatalf("heard %q, the answer says %q", heard.String(), a.Message.Text())
		}
	})
}

func FuzzParseFault(f *testing.F) {
	for _, file := range files(f, "testdata/openai.chat/fault/*.json") {
		f.Add(400, read(f, file))
	}
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		fault := dialect.ParseFault(status, data)
		if fault.Error() == "" || fault.Kind() == "" || fault.Status != status {
			t.Fatalf("%+v", fault)
		}
		fault.Refuses("max_tokens")
	})
}
