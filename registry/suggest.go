package registry

import (
	"strconv"
	"strings"
)

// suggest ends a message about an unknown name: with the nearest known one if it is near, else with all of them.
func suggest(name string, known []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, k := range known {
		if len(name) > maxName {
			break
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	switch {
	case best != "":
		return ": did you mean " + quote(best) + "?"
	case len(known) == 0:
		return ": there are none"
	}
	return ": known are " + strings.Join(known, ", ")
}

// distance is how many bytes must be put in, taken out, changed or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	var before, last []int // the rows of the two bytes of a before this one
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// quote shows a value of the file, shortened if it is absurdly long.
func quote(s string) string {
	if len(s) > 2*maxName {
		s = s[:2*maxName] + "..."
	}
	return strconv.Quote(s)
}

func itoa(n int) string { return strconv.Itoa(n) }
