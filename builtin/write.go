package builtin

import (
	"fmt"
	"maps"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// most is how many findings a short answer has.
const most = 3

// writeUp is the next turn of the writer: it lists the findings, and then answers with their claims.
func writeUp(t talk) turn {
	if t.called(decouple.ToolFindingsList) == 0 {
		return turn{calls: []call{{decouple.ToolFindingsList, struct{}{}}}}
	}
	lists := results[decouple.FindingsResult](t, decouple.ToolFindingsList)
	if len(lists) == 0 {
		return say("The findings could not be read: " + t.failure(decouple.ToolFindingsList))
	}
	list := lists[len(lists)-1]
	if len(list.Findings) == 0 {
		return say("Not found in the sources.")
	}
	parts, asked := map[string][]decouple.Finding{}, []string{}
	for _, f := range list.Findings {
		if _, ok := parts[f.Asked]; !ok {
			asked = append(asked, f.Asked)
		}
		parts[f.Asked] = append(parts[f.Asked], f)
	}
	if len(asked) == 1 {
		return say(sentences(list.Findings[:min(most, len(list.Findings))]))
	}
	var lines []string
	for _, a := range asked {
		lines = append(lines, "- "+sentence(central(a, parts)))
	}
	return say(strings.Join(lines, "\n"))
}

// central is the finding of one question that is put most nearly as the others' findings are: where headings are alike, it is the rule ("is
// synchronized before"), and not the remark that precedes it.
func central(asked string, parts map[string][]decouple.Finding) decouple.Finding {
	common := map[string]int{} // pairs of words, and by the findings of how many other questions they are used
	for other, findings := range parts {
		if other == asked {
			continue
		}
		used := map[string]bool{}
		for _, f := range findings {
			maps.Copy(used, pairs(f.Claim))
		}
		for p := range used {
			common[p]++
		}
	}
	best, top := decouple.Finding{}, -1
	for _, f := range parts[asked] {
		sum := 0
		for p := range pairs(f.Claim) {
			if common[p]*3 >= len(parts) {
				sum += common[p]
			}
		}
		if sum > top {
			best, top = f, sum
		}
	}
	return best
}

// pairs is the pairs of neighbouring words in a text.
func pairs(s string) map[string]bool {
	set := map[string]bool{}
	words := prose.Words(s)
	for i := 1; i < len(words); i++ {
		set[words[i-1]+" "+words[i]] = true
	}
	return set
}

// sentences joins the claims of findings to a paragraph, each claim once.
func sentences(findings []decouple.Finding) string {
	var all []string
	seen := map[string]bool{}
	for _, f := range findings {
		if !seen[f.Claim] {
			seen[f.Claim] = true
			all = append(all, sentence(f))
		}
	}
	return strings.Join(all, " ")
}

// sentence is a finding's claim with its number before each full stop.
func sentence(f decouple.Finding) string {
	var all []string
	for _, p := range prose.Sentences(f.Claim) {
		s := p.Of(f.Claim)
		end := "."
		if n := len(s); strings.ContainsRune(".!?", rune(s[n-1])) {
			s, end = s[:n-1], s[n-1:]
		}
		all = append(all, fmt.Sprintf("%s [%d]%s", s, f.Number, end))
	}
	return strings.Join(all, " ")
}
