package tool

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// decode reads the arguments of a call strictly. What it returns is empty, or says what is wrong with them.
func decode[T any](args json.RawMessage, into *T) string {
	args = bytes.TrimSpace(args)
	if len(args) == 0 {
		args = json.RawMessage("{}")
	}
	if args[0] != '{' {
		return "the arguments are not a JSON object"
	}
	d := json.NewDecoder(bytes.NewReader(args))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return explain(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "there is something after the JSON object"
	}
	return inexact(args)
}

// inexact finds a field that is written in another case than the tools' own: package json would take it for the one that is meant, and a rule of approval would not.
func inexact(args json.RawMessage) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(args, &fields); err != nil {
		return explain(err)
	}
	for name := range fields {
		if strings.ContainsFunc(name, func(r rune) bool { return r >= 'A' && r <= 'Z' || r > '~' }) {
			return "there is no field " + strconv.Quote(name) + ": names are in small letters"
		}
	}
	return ""
}

// explain says in plain words what is wrong with a JSON text.
func explain(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return "the field " + wrong.Field + " cannot be a JSON " + wrong.Value
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "there is no field " + name
	}
	return "the arguments are not valid JSON (" + strings.TrimPrefix(err.Error(), "json: ") + ")"
}

// refuse is the answer to a call whose arguments are wrong.
func refuse(spec decouple.ToolSpec, why, right string) decouple.Outcome {
	return decouple.Outcome{Error: true, Text: spec.Name + ": " + why + ". Right is " + right + "."}
}

// answer is a result as JSON. HTML is not escaped: it is read by models, not by browsers.
func answer(result any, found []string) (decouple.Outcome, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(result); err != nil {
		return decouple.Outcome{}, decouple.Errorf(decouple.Internal, "the result cannot be written as JSON: %w", err)
	}
	return decouple.Outcome{Text: strings.TrimSpace(b.String()), Found: found}, nil
}

// mendable turns an error that the model can mend into an answer.
func mendable(spec decouple.ToolSpec, err error) (decouple.Outcome, error) {
	switch decouple.KindOf(err) {
	case decouple.NotFound, decouple.Invalid:
		return decouple.Outcome{Error: true, Text: spec.Name + ": " + err.Error()}, nil
	}
	return decouple.Outcome{}, err
}
