package prose_test

import (
	"slices"
	"testing"

	"decouple.dev/decouple/prose"
)

// A relation holds both ways, and never between words that are one term already.
func TestRelated(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"shut", "closed"}, {"stop", "prevents"}, {"secrets", "passwords"}, {"undo", "reverted"}} {
		a, b := prose.Fold(pair[0]), prose.Fold(pair[1])
		if !slices.Contains(prose.Related(a), b) || !slices.Contains(prose.Related(b), a) {
			t.Errorf("%s and %s are not related", pair[0], pair[1])
		}
		if slices.Contains(prose.Related(a), a) {
			t.Errorf("%s is related to itself", a)
		}
	}
	if got := prose.Related("zyzzyva"); got != nil {
		t.Errorf("an unknown term is related to %v", got)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{"carefully": true, "surprising": true, "registry": false, "bought": false, "password": false} {
		if got := prose.Plain(prose.Fold(word)); got != want {
			t.Errorf("Plain(%s) = %v, want %v", word, got, want)
		}
	}
}
