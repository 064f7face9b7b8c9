package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"decouple.dev/decouple"
)

// leftOut is a field of a request that changes nothing in the answer, or that a gateway has no use for: it is read and forgotten.
type leftOut struct{}

// UnmarshalJSON takes anything.
func (*leftOut) UnmarshalJSON([]byte) error { return nil }

// strict reads a request, or a part of it. A field that is not known is Invalid and named: nothing that was asked for is silently left out.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		return decouple.Errorf(decouple.Invalid, "the request is not one JSON object")
	}
	var known *decouple.Error
	var typed *json.UnmarshalTypeError
	switch unknown, is := strings.CutPrefix(err.Error(), "json: unknown field "); {
	case errors.As(err, &known):
		return known
	case is:
		return uncarried(strings.Trim(unknown, `"`))
	case errors.As(err, &typed):
		return decouple.Errorf(decouple.Invalid, "the field %q is no %s", typed.Field, jsonWord(typed.Type.Kind().String()))
	}
	return decouple.Errorf(decouple.Invalid, "the request is not JSON: %w", err)
}

// jsonWord is what a caller calls a sort of value.
func jsonWord(kind string) string {
	switch kind {
	case "struct", "map", "ptr":
		return "object"
	case "slice":
		return "list"
	case "float64", "int64", "int":
		return "number"
	}
	return kind
}

// uncarried is the error for a field that cannot be carried to another provider's model.
func uncarried(field string) error {
	return decouple.Errorf(decouple.Invalid, "the field %q cannot be carried to this model: leave it out, or ask for a model whose provider speaks this API", field)
}

// given is a field that no other format can say, with its name.
type given struct {
	field string
	value json.RawMessage
}

// none refuses the first field that says something.
func none(all ...given) error {
	for _, g := range all {
		switch string(bytes.TrimSpace(g.value)) {
		case "", "null", "{}", "[]", `""`, "false":
		default:
			return uncarried(g.field)
		}
	}
	return nil
}

// invalid is the error for a field whose value makes no sense.
func invalid(field, why string) error {
	return decouple.Errorf(decouple.Invalid, "the field %q: %s", field, why)
}

// words give the fields of a request that some format cannot say, by their names in Chat, as the other formats call them.
var fieldWords = map[Format]map[string]string{
	Messages: {
		"n": "n", "stop": "stop_sequences", "parallel_tool_calls": "tool_choice.disable_parallel_tool_use", "response_format": "output_config.format",
		"reasoning_effort": "thinking", "user": "metadata.user_id",
	},
	Responses: {"response_format": "text.format", "reasoning_effort": "reasoning.effort", "logprobs": "include: message.output_text.logprobs"},
	Generate: {
		"top_k": "generationConfig.topK", "frequency_penalty": "generationConfig.frequencyPenalty", "presence_penalty": "generationConfig.presencePenalty",
		"seed": "generationConfig.seed", "stop": "generationConfig.stopSequences", "n": "generationConfig.candidateCount", "logprobs": "generationConfig.responseLogprobs",
		"tool_choice": "toolConfig.functionCallingConfig", "response_format": "generationConfig.responseMimeType", "reasoning_effort": "generationConfig.thinkingConfig",
	},
	Converse: {
		"top_k": "additionalModelRequestFields.top_k", "stop": "inferenceConfig.stopSequences", "tool_choice": "toolConfig.toolChoice",
		"response_format": "outputConfig.textFormat", "reasoning_effort": "additionalModelRequestFields.thinking",
	},
}

// cannot is the error of Encode for a field that the format cannot say, in the words of the format that the caller speaks.
func cannot(o Options, to Format, field string) error {
	if w := fieldWords[o.Asked][field]; w != "" {
		field = w
	}
	return decouple.Errorf(decouple.Invalid, "the field %q cannot be carried to this model, whose server speaks %s: leave it out, or ask for another model", field, to)
}

// unsaid refuses what a format cannot say: of the fields, by their names in Chat, the first that the request sets.
func unsaid(req decouple.Request, o Options, to Format, fields ...string) error {
	if req.Answers > 1 {
		return cannot(o, to, "n")
	}
	for _, field := range fields {
		if set(req, field) {
			return cannot(o, to, field)
		}
	}
	return nil
}

func set(req decouple.Request, field string) bool {
	switch field {
	case "top_k":
		return req.TopK != nil
	case "frequency_penalty":
		return req.FrequencyPenalty != nil && *req.FrequencyPenalty != 0
	case "presence_penalty":
		return req.PresencePenalty != nil && *req.PresencePenalty != 0
	case "seed":
		return req.Seed != nil
	case "stop":
		return len(req.Stop) > 0
	case "logprobs":
		return req.Logprobs || req.TopLogprobs > 0
	case "parallel_tool_calls":
		return req.Serial && len(req.Tools) > 0
	}
	return false
}

// appendString appends a JSON string; bytes that are not UTF-8 are replaced.
func appendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(dst, '"'), s...), '"')
	}
	quoted, _ := marshal(s)
	return append(dst, quoted...)
}

// marshal is json.Marshal that leaves <, > and & alone.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
