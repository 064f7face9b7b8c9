package dialect

import (
	"encoding/json"
	"slices"

	"decouple.dev/decouple"
)

// InputItems gives the input of a Responses request as a list of items, as they came; a text is made the message that it stands for.
func InputItems(body []byte) ([]json.RawMessage, error) {
	var b struct {
		Input json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the request is not JSON: %w", err)
	}
	var text string
	if json.Unmarshal(b.Input, &text) == nil && present(b.Input) {
		return []json.RawMessage{must(responsesItem{Type: "message", Role: "user", Content: []responsesContent{{Type: "input_text", Text: &text}}})}, nil
	}
	var items []json.RawMessage
	if len(b.Input) > 0 && json.Unmarshal(b.Input, &items) != nil {
		return nil, invalid("input", "it is a text or a list of items")
	}
	return items, nil
}

// OutputItems gives the output of a whole Responses answer as a list of items, as they came.
func OutputItems(answer []byte) ([]json.RawMessage, error) {
	var b struct {
		Output []json.RawMessage `json:"output"`
	}
	if err := json.Unmarshal(answer, &b); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of a response: %w", err)
	}
	return b.Output, nil
}

// WithInput gives a Responses request other items for its input, takes previous_response_id out of it, and leaves every other byte alone.
func WithInput(body []byte, items []json.RawMessage) ([]byte, error) {
	c := scanner{b: body}
	out := []byte{'{'}
	put := func(key string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendString(out, key), ':'), value...)
	}
	if items == nil {
		items = []json.RawMessage{}
	}
	list, err := marshal(items)
	if err != nil {
		return nil, invalid("input", "an item is not JSON")
	}
	for ok := c.open('{'); ok && c.more('}'); {
		switch key := string(slices.Clone(c.key())); key {
		case "input", "previous_response_id":
			c.skip()
		default:
			c.peek()
			put(key, c.raw())
		}
	}
	if !c.whole() {
		return nil, decouple.Errorf(decouple.Invalid, "the request is not JSON")
	}
	put("input", list)
	return append(out, '}'), nil
}
