package placement

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// Fault is something that is wrong with a contract's file, with the place and the remedy.
type Fault struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Where  string `json:"where"` // the key or the clause
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// String is one line: file:line: where: what: remedy.
func (f Fault) String() string {
	return f.File + ":" + strconv.Itoa(f.Line) + ": " + f.Where + ": " + f.What + ": " + f.Remedy
}

// Faults are all that is wrong, in the order of the files and lines.
type Faults []Fault

// Err is nil where nothing is wrong, and otherwise Invalid with a line for each fault.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return decouple.Errorf(decouple.Invalid, "%s", strings.Join(lines, "\n"))
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	return slices.Compact(f)
}
