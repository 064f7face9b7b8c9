package gateway

import (
	"encoding/json"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"decouple.dev/decouple"
)

// Checks that an answer of a cascade can have to pass before it is kept.
const (
	checkShape   = "json_schema" // it is JSON of the form that was asked for
	checkCalls   = "tool_calls"  // what it calls was offered, with arguments of the right form
	checkContent = "not_empty"
	checkRefusal = "no_refusal"
)

// check says why an answer does not pass its alias's check, or nothing. An answer that was cut off never does.
func (c *call) check(t tally) string {
	a := t.answer
	if a == nil {
		return "it cannot be read"
	}
	if a.Finish == decouple.FinishLength {
		return "it was cut off"
	}
	req, err := c.request()
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(a.Message.Text())
	switch c.alias.Check {
	case checkShape:
		if req.Format == nil {
			return contentOf(a, text)
		}
		return fits(req.Format.Schema, []byte(text))
	case checkCalls:
		for _, call := range a.Message.Calls() {
			if why := offered(req.Tools, call); why != "" {
				return why
			}
		}
		return contentOf(a, text)
	case checkRefusal:
		if a.Finish == decouple.FinishFilter {
			return "it is a refusal"
		}
		for _, p := range a.Message.Parts {
			if p.Refusal {
				return "it is a refusal"
			}
		}
	}
	return contentOf(a, text)
}

func contentOf(a *decouple.Answer, text string) string {
	if text == "" && len(a.Message.Calls()) == 0 {
		return "it is empty"
	}
	return ""
}

// offered says why a call does not fit the tools that were offered, or nothing.
func offered(tools []decouple.ToolSpec, call decouple.ToolCall) string {
	for _, t := range tools {
		if t.Name == call.Name {
			if why := fits(t.Params, call.Args); why != "" {
				return "the arguments of " + call.Name + ": " + why
			}
			return ""
		}
	}
	return "it calls " + call.Name + ", which was not offered"
}

// fits says why a JSON text does not follow a schema, or nothing. A schema that cannot be read demands only that the text is JSON.
func fits(schema json.RawMessage, text []byte) string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return "it is not JSON"
	}
	var s jsonschema.Schema
	if len(schema) == 0 || json.Unmarshal(schema, &s) != nil {
		return ""
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return ""
	}
	if err := resolved.Validate(value); err != nil {
		return "it does not follow its schema: " + err.Error()
	}
	return ""
}
