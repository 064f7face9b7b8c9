package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/registry"
)

// TestAgentsDoNotDeploy has the key of an agent deploy the agent without its rules.
func TestAgentsDoNotDeploy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, bearer, err := s.keys.Create(t.Context(), registry.Key{Actor: decouple.Actor{Kind: decouple.ActorAgent, ID: "talker"}, Role: registry.RoleDeveloper})
	if err != nil {
		t.Fatal(err)
	}
	if code, text := s.ask(bearer, "PUT", "/api/v1/agents/talker", strings.Replace(talker, "talk.", "do as you like.", 1)); code != http.StatusForbidden || !strings.Contains(text, "may not deploy") {
		t.Errorf("an agent deployed itself: %d %s", code, text)
	}
	if code, _ := s.ask(bearer, "POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"Is it late?"}}`); code != http.StatusOK {
		t.Errorf("an agent may not start a run: %d", code)
	}
}

// TestRevokedWatcher ends a live stream whose key is revoked.
func TestRevokedWatcher(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key, bearer, err := s.keys.Create(t.Context(), registry.Key{Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "eve"}, Role: registry.RoleDeveloper})
	if err != nil {
		t.Fatal(err)
	}
	talk := read[api.Begun](s, bearer, "POST", "/api/v1/sessions", `{"agent":"talker"}`)
	first, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		n := 0
		s.stream(bearer, "/api/v1/runs/"+string(talk.Run)+"/events", "", func(sse) bool {
			if n++; n == 1 {
				close(first)
			}
			return true
		})
	}()
	<-first
	if err := s.keys.Revoke(t.Context(), decouple.LocalTenant, key.ID, decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		t.Error("the stream goes on after its key was revoked")
	}
}

// TestLongTask shows only the beginning of a long task in lists, and keeps all of it.
func TestLongTask(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.key("", "ada", registry.RoleOperator)
	begun := read[api.Begun](s, ada, "POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"`+strings.Repeat("long ", 100_000)+`end?"}}`)
	if r := s.until(ada, begun.Run, over); len(r.Question) > 9000 || !strings.HasSuffix(r.Question, "...") {
		t.Errorf("the list shows %d bytes", len(r.Question))
	}
	state, err := engine.Load(t.Context(), s.store, decouple.LocalTenant, begun.Run)
	if err != nil || !strings.Contains(state.Messages[0].Text(), "end?") {
		t.Errorf("the task is not whole: %v", err)
	}
}
