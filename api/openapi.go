package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/risk/exposure"
)

// description is the interface as OpenAPI 3.1 describes it.
type description struct {
	OpenAPI    string                          `json:"openapi"`
	Info       info                            `json:"info"`
	Security   []map[string][]string           `json:"security"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components components                      `json:"components"`
}

type info struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Version     string `json:"version"`
	License     named  `json:"license"`
}

type named struct {
	Name       string `json:"name"`
	Identifier string `json:"identifier,omitempty"`
}

type components struct {
	Schemas  map[string]*jsonschema.Schema `json:"schemas"`
	Security map[string]scheme             `json:"securitySchemes"`
}

type scheme struct {
	Type        string `json:"type"`
	Scheme      string `json:"scheme"`
	Description string `json:"description"`
}

type operation struct {
	ID          string                 `json:"operationId"`
	Summary     string                 `json:"summary"`
	Tags        []string               `json:"tags"`
	Right       string                 `json:"x-right,omitempty"` // that the caller's role needs
	Security    *[]map[string][]string `json:"security,omitempty"`
	Parameters  []parameter            `json:"parameters,omitempty"`
	RequestBody *body                  `json:"requestBody,omitempty"`
	Responses   map[string]response    `json:"responses"`
}

type parameter struct {
	Name        string             `json:"name"`
	In          string             `json:"in"`
	Required    bool               `json:"required,omitempty"`
	Description string             `json:"description,omitempty"`
	Schema      *jsonschema.Schema `json:"schema"`
}

type body struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type response struct {
	Description string           `json:"description"`
	Content     map[string]media `json:"content,omitempty"`
}

type media struct {
	Schema *jsonschema.Schema `json:"schema"`
}

// openAPI writes the document.
func (c *call) openAPI() error {
	doc, err := Document(c.Version)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, err = c.w.Write(doc)
	return gone(err)
}

// shapes are types whose JSON does not follow from their fields.
var shapes = sync.OnceValue(func() *jsonschema.ForOptions {
	return &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.RawMessage](): {Description: "any JSON"},
		reflect.TypeFor[decouple.Money]():  {Type: "integer", Description: "nano-dollars"},
		reflect.TypeFor[time.Duration]():   {Type: "integer", Description: "nanoseconds"},
		reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time"},
		reflect.TypeFor[exposure.Node]():   {Type: "string", Description: "kind:name, such as cloud:azure"},
	}}
})

// Document is the interface as OpenAPI 3.1 describes it, made from the table of routes.
func Document(version string) ([]byte, error) {
	d := description{OpenAPI: "3.1.0", Info: info{Title: "Decouple", Version: version, License: named{"Apache-2.0", "Apache-2.0"},
		Description: "Runs fleets of agents over a durable journal. Errors are {\"error\": {kind, message}} with the status that the kind has."},
		Security: []map[string][]string{{"bearer": {}}}, Paths: map[string]map[string]operation{},
		Components: components{Schemas: map[string]*jsonschema.Schema{}, Security: map[string]scheme{"bearer": {"http", "bearer", "A key such as dck_..., made with `decouple keys create`."}}}}
	failure, err := d.component(reflect.TypeFor[Failure]())
	if err != nil {
		return nil, err
	}
	for _, rt := range routes() {
		if rt.local {
			continue // no program on another machine can ask it
		}
		op, err := d.operation(rt, failure)
		if err != nil {
			return nil, decouple.Errorf(decouple.Internal, "%s %s cannot be described: %w", rt.method, rt.path, err)
		}
		if d.Paths[rt.path] == nil {
			d.Paths[rt.path] = map[string]operation{}
		}
		d.Paths[rt.path][strings.ToLower(rt.method)] = op
	}
	return json.MarshalIndent(d, "", "  ")
}

// inPath finds the parameters of a path.
var inPath = regexp.MustCompile(`\{(\w+)\}`)

// operation describes a route.
func (d *description) operation(rt route, failure *jsonschema.Schema) (operation, error) {
	segments := strings.Split(strings.TrimPrefix(strings.TrimPrefix(rt.path, "/api/v1"), "/"), "/")
	op := operation{ID: strings.ToLower(rt.method) + strings.NewReplacer("/api/v1", "", "/", "_", "{", "", "}", "", ".", "_").Replace(rt.path), Summary: rt.summary, Tags: segments[:1], Right: string(rt.right),
		Responses: map[string]response{"default": {"An error", map[string]media{"application/json": {failure}}}}}
	if rt.right == "" {
		op.Security = &[]map[string][]string{}
	}
	for _, m := range inPath.FindAllStringSubmatch(rt.path, -1) {
		op.Parameters = append(op.Parameters, parameter{Name: m[1], In: "path", Required: true, Schema: &jsonschema.Schema{Type: "string"}})
	}
	for _, q := range rt.query {
		op.Parameters = append(op.Parameters, parameter{Name: q.name, In: "query", Description: q.text, Schema: &jsonschema.Schema{Type: q.kind}})
	}
	if rt.starts {
		op.Parameters = append(op.Parameters, parameter{Name: "Idempotency-Key", In: "header", Description: "The same request with it again changes nothing and has the answer of the first; any other request with it is a conflict", Schema: &jsonschema.Schema{Type: "string", MaxLength: jsonschema.Ptr(engine.MaxKey)}})
	}
	if rt.upload {
		op.RequestBody = &body{true, map[string]media{"application/octet-stream": {&jsonschema.Schema{}}}}
	}
	if rt.in != nil {
		s, err := d.component(rt.in)
		if err != nil {
			return op, err
		}
		op.RequestBody = &body{rt.in != reflect.TypeFor[None](), map[string]media{"application/json": {s}}}
	}
	ok := response{"Done", map[string]media{}}
	if rt.out != nil {
		s, err := d.component(rt.out)
		if err != nil {
			return op, err
		}
		ok.Content["application/json"] = media{s}
	}
	for _, m := range rt.media {
		ok.Content[m] = media{&jsonschema.Schema{Type: "string"}}
		if m == "text/event-stream" {
			op.Parameters = append(op.Parameters, parameter{Name: "Last-Event-ID", In: "header", Description: "Position of the newest event that was had: the stream goes on after it", Schema: &jsonschema.Schema{Type: "string"}})
			op.Responses[strconv.Itoa(http.StatusNoContent)] = response{Description: "A stream that was had to its end: do not come back"}
		}
	}
	op.Responses[strconv.Itoa(rt.status)] = ok
	return op, nil
}

// component describes a type, named types under components.
func (d *description) component(t reflect.Type) (*jsonschema.Schema, error) {
	if t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]() {
		items, err := d.component(t.Elem())
		return &jsonschema.Schema{Type: "array", Items: items}, err
	}
	s, err := jsonschema.ForType(t, shapes())
	if err != nil || t.Kind() != reflect.Struct {
		return s, err
	}
	sort.Strings(s.Required)
	d.Components.Schemas[t.Name()] = s
	return &jsonschema.Schema{Ref: "#/components/schemas/" + t.Name()}, nil
}
