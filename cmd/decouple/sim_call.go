package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"decouple.dev/decouple"
)

// simRequest is what is asked of the operator's port of simulated clouds.
type simRequest struct {
	method, base, path string
}

// callSim asks the operator's port; body is sent as JSON unless it is nil, and the answer is read into out.
func callSim(ctx context.Context, r simRequest, body *simFault, out any) error {
	u, err := url.Parse(r.base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return decouple.Errorf(decouple.Invalid, "--admin must look like http://%s", simAddress)
	}
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return decouple.Errorf(decouple.Internal, "a fault is not JSON: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.JoinPath(r.path).String(), bytes.NewReader(data))
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "the request cannot be made: %w", err)
	}
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "no simulated clouds answer at %s: start them with `decouple sim`, or name their port with --admin", u.Host)
	}
	defer func() { _ = res.Body.Close() }()
	data, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "the answer of the simulated clouds broke off: %w", err)
	}
	if res.StatusCode >= 400 {
		var said struct {
			Error struct {
				Kind    decouple.Kind
				Message string
			}
		}
		if json.Unmarshal(data, &said) != nil || said.Error.Message == "" {
			return decouple.Errorf(decouple.Unavailable, "%s does not answer as simulated clouds do (status %d)", u.Host, res.StatusCode)
		}
		return decouple.Errorf(said.Error.Kind, "%s", printable(said.Error.Message))
	}
	if err := json.Unmarshal(data, out); err != nil {
		return decouple.Errorf(decouple.Unavailable, "%s does not answer as simulated clouds do: %w", u.Host, err)
	}
	return nil
}
