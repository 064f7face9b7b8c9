package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of a scenario.
const (
	mostLosses    = 64
	mostWorkloads = 16
	mostSpan      = 7 * 24 * time.Hour
)

// check says what is wrong with a scenario, and on which line; empty is nothing.
func (s *Scenario) check(at lines) (int, string) {
	switch {
	case !isID(s.ID):
		return at.of("id"), "id: a scenario is named by up to 60 lower-case letters, digits, dots and hyphens, such as azure-2026-03-09"
	case strings.TrimSpace(s.Title) == "" || len(s.Title) > 200:
		return at.of("title"), "title: a scenario has a title of up to 200 characters"
	case !slices.Contains([]string{"", "P", "S", "P/S", "own"}, s.Mark):
		return at.of("mark"), "mark: P is a vendor's own page, S a secondary source, P/S both, own your own; there is no other"
	case len(s.Lose) == 0 || len(s.Lose) > mostLosses:
		return at.of("lose"), fmt.Sprintf("lose: say what is lost, in 1 to %d entries", mostLosses)
	case s.Lasts <= 0:
		return at.of("lasts"), "lasts: say how long the loss lasts, such as 20h12m, or give each entry of lose a to"
	case s.Before+s.Lasts+s.After > mostSpan:
		return at.of("lasts"), "lasts: a drill is played over at most 7d, before and after included"
	case len(s.Workloads) > mostWorkloads:
		return at.of("workloads"), fmt.Sprintf("workloads: there may be %d", mostWorkloads)
	case s.Every > 0 && s.Every < time.Hour:
		return at.of("every"), "every: a drill is due again after at least 1h"
	}
	for i := range s.Lose {
		if why := s.Lose[i].check(s); why != "" {
			return s.Lose[i].line, why
		}
	}
	seen := map[string]bool{}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		if why := w.check(); why != "" {
			return w.line, why
		}
		if seen[w.Name] {
			return w.line, fmt.Sprintf("there are two workloads of the name %q", plain(w.Name))
		}
		seen[w.Name] = true
	}
	if len(s.Workloads) > 0 {
		for _, name := range s.Expect.NoAlternate {
			if !seen[name] {
				return at.of("expect", "no_alternate"), fmt.Sprintf("no_alternate: there is no workload %q", plain(name))
			}
		}
	}
	for name, list := range s.Ancestors {
		for _, x := range list {
			if x.empty() {
				return at.of("ancestors", name), fmt.Sprintf("ancestors: what hangs on %q must name a vendor, cloud, region, model, lab, hardware or endpoint", plain(name))
			}
		}
	}
	return 0, ""
}

func isID(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 60 && s[0] != '.' && s[0] != '-'
}

// needs says which numbers and words a kind of loss takes.
var needs = map[Kind]struct{ status, after, span, factor bool }{
	Outage: {status: true}, Storm: {span: true}, Overload: {span: true}, Refuse: {}, Auth: {status: true}, StallFirst: {span: true}, Stall: {after: true, span: true}, Slow: {factor: true},
	Cut: {after: true}, Price: {factor: true}, Quota: {factor: true}, Clause: {},
}

// check says what is wrong with a loss.
func (l *Loss) check(s *Scenario) string {
	takes, ok := needs[l.What]
	if !ok {
		return fmt.Sprintf("what: there is no loss of kind %q: there are outage, storm, overload, refuse, auth, stall_first, stall, slow, cut, price, quota and clause", plain(string(l.What)))
	}
	switch {
	case l.To <= l.From || l.To > s.Lasts:
		return "a loss goes from a time to a later one, within lasts"
	case l.Status != 0 && (!takes.status || l.Status < 400 || l.Status > 599):
		return "status: an outage or auth may have a status from 400 to 599; refuse is 400, storm 429"
	case l.What == Auth && l.Status != 0 && l.Status != 401 && l.Status != 403:
		return "status: of auth it is 401 or 403"
	case l.After < 0 || l.After > 0 && !takes.after:
		return "after: a stall or cut may come after so many tokens"
	case l.For > 0 && !takes.span:
		return fmt.Sprintf("for: a loss of kind %s has no length of its own; from and to say when it is", l.What)
	case l.For == 0 && (l.What == Stall || l.What == StallFirst):
		return "for: say how long nothing comes, such as 30s"
	case l.Factor != 0 && !takes.factor || !(l.Factor >= 0 && l.Factor <= 1000):
		return "factor: price, slow and quota have a factor up to 1000, such as 3"
	case l.Factor == 0 && takes.factor && l.What != Quota:
		return "factor: say how many times, such as 3"
	}
	if l.What == Clause {
		return l.checkClause()
	}
	switch {
	case l.Clause != "" || l.Text.Text != "":
		return "clause and contract belong to what: clause"
	case l.Ancestor != "" && !l.Selector.empty():
		return "ancestor stands instead of vendor, cloud, region, model, lab, hardware and endpoint"
	case l.Ancestor == "" && l.Selector.empty():
		return "say what is lost: vendor, cloud, region, model, lab, hardware, endpoint or ancestor"
	}
	return ""
}

func (l *Loss) checkClause() string {
	switch {
	case (l.Clause == "") == (l.Text.Text == ""):
		return "of a clause give either clause: CONTRACT/CLAUSE, which falls away, or contract, the text that holds instead"
	case !l.Selector.empty() || l.Ancestor != "" || l.Share != 1:
		return "a clause is lost as a whole: what it binds is in its contract"
	case l.Clause != "" && strings.Count(l.Clause, "/") != 1:
		return "clause: name it as CONTRACT/CLAUSE"
	}
	return ""
}

func (w *Workload) check() string {
	switch {
	case strings.TrimSpace(w.Name) == "" || len(w.Name) > 60:
		return "name: a workload has a name of up to 60 characters"
	case w.Model == "":
		return "model: say which model or alias the workload asks for"
	case !(w.Rate > 0 && w.Rate <= 1000):
		return "per_second: a workload makes more than 0 and up to 1000 runs a second"
	case w.Steps < 1 || w.Steps > 1000 || w.In < 1 || w.In > 10e6 || w.Out < 1 || w.Out > 1e6 || w.Again < 0 || w.Again > 10:
		return "steps is 1 to 1000, tokens_in 1 to 10,000,000, tokens_out 1 to 1,000,000, again 0 to 10"
	}
	return ""
}

func (x *Selector) empty() bool {
	return x.Vendor == "" && x.Cloud == "" && len(x.Regions) == 0 && x.Model == "" && x.Lab == "" && x.Hardware == "" && x.Endpoint == ""
}
