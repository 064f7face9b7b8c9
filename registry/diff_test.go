package registry_test

import (
	"strings"
	"testing"

	"decouple.dev/decouple/registry"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	from, err := registry.Parse("a.md", []byte("---\nname: a\ndescription: one\nmodel: small\n---\none\ntwo\nthree\nfour\nfive\nsix\nseven\n"))
	if err != nil {
		t.Fatal(err)
	}
	to, err := registry.Parse("a.md", []byte("---\nname: a\ndescription: other\ntools: [notes.read]\n---\none\ntwo\nthree\nfour\nfive\nSIX\nseven\neight\n"))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := registry.Diff(from, to)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.Field+" "+c.From+" > "+c.To+strings.Join(c.Lines, "|"))
	}
	want := []string{`description "one" > "other"`, `model "small" > `, `tools  > ["notes.read"]`, `prompt  >  four| five|-six|+SIX| seven|+eight`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if none, err := registry.Diff(to, to); err != nil || len(none) != 0 {
		t.Errorf("a version differs from itself: %v %v", none, err)
	}
}
