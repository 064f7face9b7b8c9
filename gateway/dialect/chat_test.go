package dialect_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

func conversation() decouple.Request {
	call := func(id, name, args string) decouple.Part {
		return decouple.Part{Call: &decouple.ToolCall{ID: id, Name: name, Args: json.RawMessage(args)}}
	}
	answer := func(id, text string, failed bool) decouple.Part {
		return decouple.Part{Result: &decouple.ToolResult{ID: id, Name: "notes.search", Text: text, Error: failed}}
	}
	return decouple.Request{
		Model: "m", MaxTokens: 500,
		Messages: []decouple.Message{
			decouple.Text(decouple.System, "You are careful."),
			decouple.Text(decouple.User, "What happens before <what>?"),
			{Role: decouple.Assistant, Parts: []decouple.Part{call("a", "notes.search", ` {"query":"x"} `), call("b", "gone tool", "")}},
			{Role: decouple.ToolRole, Parts: []decouple.Part{answer("a", `{"units":[]}`, false), answer("b", "no such tool", true)}},
			{Role: decouple.Assistant, Parts: []decouple.Part{{Text: "Once "}, {Text: "more."}, call("c", "notes_search", `"{\"que"`), call("d", "notes.search", `{"que`), call("e", "notes.search", `[1]`)}},
			{Role: decouple.ToolRole, Parts: []decouple.Part{answer("c", "", true), answer("d", "", false), answer("e", "x", false)}},
			decouple.Text(decouple.User, ""),
		},
		Tools: []decouple.ToolSpec{
			{Name: "notes.search", Description: "Searches.", Params: json.RawMessage(`{"type": "object", "properties": {"query": {"type": "string"}}}`)},
			{Name: "notes_search"},
		},
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	noTools := conversation()
	noTools.NoTools = true
	bare := decouple.Request{Model: "m", NoTools: true}
	for name, c := range map[string]struct {
		req decouple.Request
		o   dialect.ChatOptions
	}{
		"stream":    {conversation(), dialect.ChatOptions{Stream: true}},
		"fallback":  {conversation(), dialect.ChatOptions{Stream: true, NoUsage: true, NewLimit: true}},
		"no_tools":  {noTools, dialect.ChatOptions{}},
		"bare_none": {bare, dialect.ChatOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, names, err := dialect.EncodeChat(c.req, c.o)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := json.Indent(&b, data, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/openai.chat/encoded/"+name+".json", append(b.Bytes(), '\n'))
			if len(c.req.Tools) > 0 && names.Own(names.Wire("gone tool")) != "gone tool" {
				t.Error("a tool of the conversation lost its name")
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for want, req := range map[string]decouple.Request{
		`message 2 of the request: nobody has the role "robot"`: {Messages: []decouple.Message{decouple.Text(decouple.User, "x"), decouple.Text("robot", "x")}},
		"a tool's message holds results only":                   {Messages: []decouple.Message{decouple.Text(decouple.ToolRole, "x")}},
		"a tool's schema is not JSON":                           {Tools: []decouple.ToolSpec{{Name: "t", Params: json.RawMessage("{")}}},
	} {
		_, _, err := dialect.EncodeChat(req, dialect.ChatOptions{})
		if decouple.KindOf(err) != decouple.Internal || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70)
	n := dialect.NewNames(tools("a.b", "a_b", "a/b", "", "über", long, long+"y", "a.b"))
	for own, wire := range map[string]string{
		"a_b": "a_b", "a.b": "a_b_2", "a/b": "a_b_3", "": "_", "über": "_ber",
		long: strings.Repeat("x", 64), long + "y": strings.Repeat("x", 62) + "_2",
	} {
		if got := n.Wire(own); got != wire || n.Own(got) != own {
			t.Errorf("%q is %q on the wire and comes back as %q; want %q", own, got, n.Own(got), wire)
		}
	}
	if got := n.Own("never.offered"); got != "never.offered" {
		t.Errorf("an unknown name became %q", got)
	}
	if got := (dialect.Names{}).Wire("a.b"); got != "a.b" {
		t.Errorf("the zero value maps to %q", got)
	}
}
