package credential

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"decouple.dev/decouple"
)

// GoogleApp is an identity of Google Cloud: a file of credentials (of a service account, a person, another cloud's workload), or without one the service account of the machine.
type GoogleApp struct {
	File     string
	Optional bool // where the file is not there, the machine's
}

const googleScope = "https://www.googleapis.com/auth/cloud-platform"

func newGoogle(app GoogleApp, client *http.Client) (Authorizer, error) {
	ctx := context.Background()
	if client == nil {
		client = &http.Client{Timeout: fetchTime}
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	source, err := googleSource(ctx, app)
	if err != nil {
		return nil, err
	}
	return &bearer{tokens{fetch: func(context.Context) (token, error) { // the source has no context of its own: the client's time bounds it
		t, err := source.Token()
		if err != nil {
			return token{}, googleError(err)
		}
		return token{NewSecret(t.AccessToken), t.Expiry}, nil
	}}}, nil
}

// uncached gives a new token each time: x/oauth2's own cache renews seconds before the end, and in the way of a call.
type uncached func() (oauth2.TokenSource, error)

// Token asks for a token.
func (u uncached) Token() (*oauth2.Token, error) {
	s, err := u()
	if err != nil {
		return nil, err
	}
	return s.Token()
}

func googleSource(ctx context.Context, app GoogleApp) (oauth2.TokenSource, error) {
	machine := uncached(func() (oauth2.TokenSource, error) { return google.ComputeTokenSource("", googleScope), nil })
	if app.File == "" {
		return machine, nil
	}
	data, err := os.ReadFile(app.File)
	if errors.Is(err, os.ErrNotExist) && app.Optional {
		return machine, nil
	}
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the Google credentials cannot be read: %w", err)
	}
	source := func() (oauth2.TokenSource, error) { return fromFile(ctx, app.File, data) }
	if _, err := source(); err != nil {
		return nil, err
	}
	return uncached(source), nil
}

func fromFile(ctx context.Context, name string, data []byte) (oauth2.TokenSource, error) {
	var kind struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(data, &kind); err != nil || kind.Type == "" {
		return nil, decouple.Errorf(decouple.Invalid, "%s holds no Google credentials: it must be JSON with a type", name)
	}
	c, err := google.CredentialsFromJSONWithType(ctx, data, kind.Type, googleScope)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "%s holds Google credentials of type %q that cannot be used: is a field missing?", name, Cleaner()(string(kind.Type)))
	}
	return c.TokenSource, nil
}

func googleError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 && refused.Response.StatusCode != http.StatusTooManyRequests {
		return decouple.Errorf(decouple.Unauthenticated, "Google refuses the identity (HTTP %d, %s): look at GOOGLE_APPLICATION_CREDENTIALS", refused.Response.StatusCode, Cleaner()(refused.ErrorCode))
	}
	return decouple.Errorf(decouple.Unavailable, "Google gave no token: %s", Cleaner()(err.Error()))
}
