package api

import (
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		frames string
		kind   decouple.Kind
	}{
		{`{"progress":{"Done":1}}` + "\n" + `{"summary":{"added":3,"position":7}}`, ""},
		{`{"error":{"kind":"denied","message":"no"}}`, decouple.Denied},
		{`{"progress":{"Done":1}}`, decouple.Unknown},
		{``, decouple.Unknown},
		{`nonsense`, decouple.Unknown},
	} {
		sum, err := follow(strings.NewReader(tt.frames), func(knowledge.Progress) {})
		if decouple.KindOf(err) != tt.kind || err == nil && sum.Added != 3 {
			t.Errorf("%s: %+v, %v", tt.frames, sum, err)
		}
	}
}

// FuzzFollow reads anything as frames: it ends with a summary or an error.
func FuzzFollow(f *testing.F) {
	f.Add(`{"progress":{"Done":1,"Files":2}}{"summary":{"added":1}}`)
	f.Add(`{"error":{"kind":"invalid","message":"x"}}`)
	f.Add(`{}{}`)
	f.Fuzz(func(_ *testing.T, s string) {
		_, _ = follow(strings.NewReader(s), func(knowledge.Progress) {})
	})
}
