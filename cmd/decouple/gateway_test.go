package main

import (
	"io"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// callScript calls a model at a door of the gateway.
func callScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: call URL KEY MODEL")
	}
	body := `{"model":"` + args[2] + `","messages":[{"role":"user","content":"When is it late?"}],"max_tokens":50,"stream":true}`
	req, err := http.NewRequest(http.MethodPost, args[0], strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+args[1])
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	ts.Setenv("FOUND", resp.Header.Get("X-Decouple-Decision"))
	if neg == (resp.StatusCode == http.StatusOK) {
		ts.Fatalf("it is answered %s", resp.Status)
	}
}
