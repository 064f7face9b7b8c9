package api_test

import (
	"strings"
	"time"

	"decouple.dev/decouple/api"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/drill"
)

// lossOfSelf takes the builtin model away, which is all that the server of the test has.
const lossOfSelf = "id: self\ntitle: The builtin model is gone\nlasts: 1m\nlose: [{what: outage, vendor: builtin}]\n"

// drills is what a program does with drills. Whoever may not operate may look.
func (s *site) drills(ada string) {
	t := s.t
	ops, viewer := s.key("", "olga", registry.RoleOperator), s.key("", "vic", registry.RoleViewer)
	if code, text := s.ask(viewer, "POST", "/api/v1/drills", `{"scenario":"azure-2026-03-09","mode":"sim"}`); code != 403 {
		t.Errorf("a viewer begins a drill: %d %s", code, text)
	}
	for body, want := range map[string]string{
		`{"scenario":"none","mode":"sim"}`: "there is no scenario",
		`{"mode":"sim"}`:                   "one of them",
		`{"file":"id: x\ncolour: blue","name":"own.yaml","mode":"sim"}`: "own.yaml:2: there is no key",
		`{"scenario":"azure-2026-03-09","mode":"real"}`:                 "sim, shadow or live",
		`{"scenario":"azure-2026-03-09","mode":"live"}`:                 "no endpoint of this installation is lost",
	} {
		if code, text := s.ask(ops, "POST", "/api/v1/drills", body); code < 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
	begun := read[api.BegunDrill](s, ops, "POST", "/api/v1/drills", `{"scenario":"anthropic-2026-04-28","mode":"sim","short_ns":60000000000}`)
	if d := s.drilled(viewer, begun.ID); d.State != drill.Passed || d.Envelope == "" || d.Result.Chart == nil {
		t.Errorf("the drill is %+v", d.Entry)
	}
	body := `{"file":` + quoted(lossOfSelf) + `,"mode":"live","canary":{"share":1,"for_ns":60000000000}}`
	begun = read[api.BegunDrill](s, ops, "POST", "/api/v1/drills", body)
	if code, text := s.ask(ops, "POST", "/api/v1/drills", body); code != 409 {
		t.Errorf("a second live drill: %d %s", code, text)
	}
	if code, _ := s.ask(viewer, "POST", "/api/v1/drills/now/abort", "{}"); code != 403 {
		t.Errorf("a viewer aborts: %d", code)
	}
	if id := read[api.BegunDrill](s, ops, "POST", "/api/v1/drills/now/abort", "{}").ID; id != begun.ID {
		t.Errorf("aborted %s, not %s", id, begun.ID)
	}
	if d := s.drilled(viewer, begun.ID); d.State != drill.Aborted || !strings.Contains(d.Aborted, "olga") {
		t.Errorf("the aborted drill is %+v", d.Entry)
	}
	if list := read[[]drill.Entry](s, ada, "GET", "/api/v1/drills", ""); len(list) != 2 || list[0].ID != begun.ID || list[1].Result.Chart != nil {
		t.Errorf("the drills are %+v", list)
	}
}

// drilled waits for the end of a drill.
func (s *site) drilled(key, id string) api.Drill {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if d := read[api.Drill](s, key, "GET", "/api/v1/drills/"+id, ""); d.State != drill.Running {
			return d
		}
	}
	s.t.Fatalf("the drill %s does not end", id)
	return api.Drill{}
}

// quoted is a text as JSON.
func quoted(text string) string {
	return `"` + strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(text) + `"`
}
