package credential

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"decouple.dev/decouple"
)

// Field is a header of a call.
type Field struct{ Name, Value string }

// Call is a call of a provider as its proof sees it.
type Call struct {
	Method string
	URL    string // whole
	Header []Field
	Body   []byte
}

// Authorizer adds to a call what proves who calls. It is safe for concurrent use.
type Authorizer interface {
	// Authorize gives the headers of the call, with the proof added; the list may share memory with the call's. An error is Unauthenticated where the
	// provider of identities refused, and Unavailable where it could not be asked.
	Authorize(ctx context.Context, c Call) ([]Field, error)
}

// Apply authorizes a request of net/http, whose body is given beside it.
func Apply(ctx context.Context, a Authorizer, r *http.Request, body []byte) error {
	c := Call{Method: r.Method, URL: r.URL.String(), Body: body}
	if t := r.Header.Get("Content-Type"); t != "" {
		c.Header = append(c.Header, Field{"Content-Type", t})
	}
	fields, err := a.Authorize(ctx, c)
	if err != nil {
		return err
	}
	for _, f := range fields {
		r.Header.Set(f.Name, f.Value)
	}
	return nil
}

// none adds nothing: the server asks for no proof.
type none struct{}

// Authorize adds nothing.
func (none) Authorize(_ context.Context, c Call) ([]Field, error) { return c.Header, nil }

// header is a key in a header.
type header struct {
	name  string
	value Secret // as it is sent
}

// Authorize adds the key.
func (h *header) Authorize(_ context.Context, c Call) ([]Field, error) {
	return append(c.Header, Field{h.name, h.value.Reveal()}), nil
}

// Format prints which header it is.
func (h *header) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[key in "+h.name+"]") }

// Method is how an account proves who it is.
type Method string

// The methods.
const (
	None       Method = ""
	Bearer     Method = "bearer"         // Authorization: Bearer
	XAPIKey    Method = "x-api-key"      // Anthropic
	APIKey     Method = "api-key"        // Azure
	XGoogKey   Method = "x-goog-api-key" // Gemini
	SigV4      Method = "sigv4"          // AWS
	Entra      Method = "entra"          // Microsoft
	GoogleAuth Method = "google"         // Google Cloud
)

// Auth is an account's proof. Which fields count depends on the method.
type Auth struct {
	Method Method
	Key    Secret // of the methods with a key

	AWS    AWS
	Entra  EntraApp
	Google GoogleApp
}

// Authorizer makes the proof ready. Nothing is asked over the network before the first call.
func (a Auth) Authorizer() (Authorizer, error) { return a.Over(nil) }

// Over is Authorizer, with the client that tokens are asked for with; nil is a usual one.
func (a Auth) Over(client *http.Client) (Authorizer, error) {
	key := func(name, before string) (Authorizer, error) {
		if a.Key.Empty() {
			return nil, decouple.Errorf(decouple.Invalid, "an account that proves itself by %s needs a key", a.Method)
		}
		return &header{name, NewSecret(before + a.Key.Reveal())}, nil
	}
	switch a.Method {
	case None:
		return none{}, nil
	case Bearer:
		return key("Authorization", "Bearer ")
	case XAPIKey:
		return key("X-Api-Key", "")
	case APIKey:
		return key("Api-Key", "")
	case XGoogKey:
		return key("X-Goog-Api-Key", "")
	case SigV4:
		return newSigner(a.AWS, client)
	case Entra:
		return newEntra(a.Entra, client)
	case GoogleAuth:
		return newGoogle(a.Google, client)
	}
	return nil, decouple.Errorf(decouple.Invalid, "there is no method of proof %q", a.Method)
}

// secrets are all that must never be shown.
func (a Auth) secrets() []Secret {
	return []Secret{a.Key, a.AWS.SecretKey, a.AWS.Session, a.Entra.Secret}
}
