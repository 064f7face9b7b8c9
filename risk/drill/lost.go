package drill

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple/placement"
)

// fits says whether an endpoint is meant.
func (x *Selector) fits(p *placement.Place) bool {
	same := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	return same(x.Vendor, p.Vendor) && same(x.Cloud, p.Cloud) && same(x.Model, p.Model) && same(x.Lab, p.Lab) && same(x.Endpoint, p.ID) &&
		(x.Hardware == "" || strings.Contains(strings.ToLower(p.Hardware), strings.ToLower(x.Hardware))) && (len(x.Regions) == 0 || slices.Contains(x.Regions, p.Region))
}

// about says whether a loss is about an endpoint. An ancestor is a cloud, a lab, a vendor or hardware of the catalog, or what the scenario says hangs on it.
func (s *Scenario) about(l *Loss, p *placement.Place) bool {
	if l.What == Clause {
		return false
	}
	if l.Ancestor == "" {
		return l.Selector.fits(p)
	}
	for _, x := range s.Ancestors[l.Ancestor] {
		if x.fits(p) {
			return true
		}
	}
	a := l.Ancestor
	return strings.EqualFold(a, p.Cloud) || strings.EqualFold(a, p.Vendor) || strings.EqualFold(a, p.Lab) || strings.EqualFold(a, p.Hardware)
}

// kills says whether a loss leaves nothing that an alternate would not do better: it is not merely dearer, slower or narrower.
func (l *Loss) kills() bool {
	return l.What != Clause && l.What != Price && l.What != Slow && l.What != Quota
}

// holds says whether a loss holds at a time since the loss began.
func (l *Loss) holds(since time.Duration) bool { return since >= l.From && since < l.To }

// lost says whether an endpoint is lost at a time, for some calls at least.
func (s *Scenario) lost(p *placement.Place, since time.Duration) bool {
	for i := range s.Lose {
		if l := &s.Lose[i]; l.kills() && l.holds(since) && s.about(l, p) {
			return true
		}
	}
	return false
}

// moments are the times since the loss began at which something changes, in order; the first is 0.
func (s *Scenario) moments() []time.Duration {
	out := []time.Duration{0}
	for i := range s.Lose {
		out = append(out, s.Lose[i].From)
		if s.Lose[i].To < s.Lasts {
			out = append(out, s.Lose[i].To)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// who describes for people what a loss is about.
func (l *Loss) who() string {
	var who []string
	for _, w := range []struct{ name, value string }{{"endpoint", l.Endpoint}, {"model", l.Model}, {"of", l.Lab}, {"at", l.Vendor}, {"on the machines of", l.Cloud}, {"in", strings.Join(l.Regions, ", ")}, {"on", l.Hardware}, {"all that hangs on", l.Ancestor}} {
		if w.value != "" {
			who = append(who, w.name+" "+w.value)
		}
	}
	return strings.Join(who, " ")
}

// say describes a loss for people.
func (l *Loss) say() string {
	what := l.words()
	if l.Share < 1 {
		what += " for " + percent(l.Share) + " of the calls"
	}
	if who := l.who(); who != "" {
		what = who + ": " + what
	}
	return what + ", " + l.From.String() + " to " + l.To.String()
}

func (l *Loss) words() string {
	switch l.What {
	case Outage:
		if l.Status != 0 {
			return "answers " + itoa(l.Status)
		}
		return "nobody answers"
	case Storm:
		return "answers 429, with a wish to be left alone for " + l.For.String()
	case Overload:
		return "says that it is full"
	case Refuse:
		return "refuses right calls with 400"
	case Auth:
		return "refuses every key with " + itoa(cmp.Or(l.Status, 401))
	case StallFirst:
		return "says nothing for " + l.For.String() + " before the first token"
	case Stall:
		return "falls silent for " + l.For.String() + " in the middle of an answer"
	case Slow:
		return "is " + number(l.Factor) + " times as slow"
	case Cut:
		return "breaks streams off"
	case Price:
		return "costs " + number(l.Factor) + " times as much"
	case Quota:
		return "has " + number(l.Factor) + " times its quotas"
	}
	if l.Clause != "" {
		return "the clause " + l.Clause + " falls away"
	}
	return "another contract holds"
}
