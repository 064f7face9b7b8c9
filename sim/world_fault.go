package sim

import (
	"strconv"
	"time"

	"decouple.dev/decouple"
)

// fault is a fault that was declared, and how many calls it was about.
type fault struct {
	Fault
	seed  uint64
	calls int64
}

// about says whether a fault holds at a time, and for a call's place. It does not say whether the dice spare the call.
func (f *fault) about(c *cloud, region string, m *Offer, since time.Duration) bool {
	if since < f.From || f.To > 0 && since >= f.To {
		return false
	}
	if f.Cloud != "" && f.Cloud != c.Name || f.Region != "" && f.Region != region {
		return false
	}
	return f.Model == "" || m != nil && (f.Model == m.Name || f.Model == string(m.ID))
}

// strikes counts a call that the fault is about, and says whether it is one of those that it hits.
func (f *fault) strikes(seq uint64) bool {
	f.calls++
	if f.Nth > 0 && f.calls != f.Nth {
		return false
	}
	if f.Share <= 0 || f.Share >= 1 {
		return true
	}
	d := dice{state: stir(f.seed, seq)}
	return d.unit() <= f.Share
}

// defaultAfter is what a storm says of how long to wait.
const defaultAfter = 10 * time.Second

// refuse puts into the plan what a fault refuses; false is a fault that does not refuse.
func (f *fault) refuse(p *Plan) bool {
	switch f.Kind {
	case Outage:
		p.Refusal, p.Status = outage(f.Mode)
	case Storm:
		p.Refusal, p.RetryAfter = f.storm(p.cloud)
	case Overload:
		p.Refusal = Full
		p.RetryAfter = max(0, f.RetryAfter)
	case Auth:
		p.Refusal = BadKey
		if f.Mode == "403" {
			p.Refusal = Forbidden
		}
	case Wrong400:
		p.Refusal = WrongCall
	default:
		return false
	}
	p.Message = f.Message
	return true
}

func outage(mode string) (Refusal, int) {
	switch mode {
	case "", "refused":
		return Refused, 0
	case "reset":
		return Cutoff, 0
	case "500":
		return Failed, 500
	case "503":
		return Unavailable, 503
	}
	status, _ := strconv.Atoi(mode) // New has checked it
	return Status, status
}

func (f *fault) storm(c *cloud) (Refusal, time.Duration) {
	if f.Mode == "insufficient_quota" {
		return NoMoney, 0
	}
	after := f.RetryAfter
	if after == 0 {
		after = defaultAfter
	}
	switch {
	case c.Limits.Units > 0:
		return Provisioned, max(0, after)
	case c.Limits.Pool.Hot > 0:
		return PoolHot, max(0, after)
	}
	return TokenRate, max(0, after)
}

// bend changes the plan of an answer that is given all the same.
func (f *fault) bend(p *Plan) {
	switch f.Kind {
	case StallFirst:
		p.Stall = Pause{After: 0, For: f.For, Silent: f.Mode == "headers"}
	case Stall:
		p.Stall = Pause{After: f.After, For: f.For}
	case Slow:
		if f.Factor > 0 {
			p.First = p.Queued + time.Duration(float64(p.First-p.Queued)*f.Factor)
			p.Every = time.Duration(float64(p.Every) * f.Factor)
		}
	case Cut, Reset, ErrorIn200:
		p.Break = Break{Kind: f.Kind, After: min(f.After, p.Usage.TokensOut), Clean: f.Mode == "clean"}
	case Truncated:
		p.Break = Break{Kind: f.Kind, After: p.Usage.TokensOut / 2}
	case Empty:
		p.Usage.TokensOut = 0
		p.Break = Break{Kind: f.Kind}
		p.Finish = decouple.FinishStop
	}
}

// check says what is wrong with a fault.
func (f *Fault) check(known func(cloud string) *Cloud) error {
	bad := func(format string, args ...any) error { return decouple.Errorf(decouple.Invalid, format, args...) }
	if f.Cloud != "" && known(f.Cloud) == nil {
		return bad("a fault names the cloud %q, which is not there", f.Cloud)
	}
	if f.To != 0 && f.To <= f.From || f.From < 0 || f.For < 0 || f.After < 0 || f.Nth < 0 {
		return bad("a fault of kind %s must have from before to, and no number below zero", f.Kind)
	}
	if !(f.Share >= 0 && f.Share <= 1) {
		return bad("the share of a fault is a number from 0 to 1")
	}
	if !(f.Factor >= 0 && f.Factor <= 1000) {
		return bad("the factor of a fault is a number from 0 to 1000")
	}
	modes := map[FaultKind][]string{
		Outage: nil, Storm: {"", "insufficient_quota"}, Overload: {""}, Auth: {"", "401", "403"}, Wrong400: {""}, StallFirst: {"", "headers"}, Stall: {""}, Slow: {""},
		Cut: {"", "abrupt", "clean"}, Reset: {""}, ErrorIn200: {""}, Empty: {""}, Truncated: {""}, PriceTimes: {""}, QuotaTimes: {""},
	}
	allowed, ok := modes[f.Kind]
	if !ok {
		return bad("there is no fault of kind %q: there are outage, storm, overload, auth, wrong_400, stall_first, stall, slow, cut, reset, error_in_200, empty, truncated, price and quota", f.Kind)
	}
	if f.Kind == Outage {
		if n, err := strconv.Atoi(f.Mode); f.Mode != "" && f.Mode != "refused" && f.Mode != "reset" && (err != nil || n < 400 || n > 599) {
			return bad("the mode of an outage is refused, reset, or a status from 400 to 599, not %q", f.Mode)
		}
		return nil
	}
	for _, m := range allowed {
		if f.Mode == m {
			return f.checkNumbers()
		}
	}
	return bad("a fault of kind %s has no mode %q", f.Kind, f.Mode)
}

// checkNumbers wants the number without which a kind says nothing.
func (f *Fault) checkNumbers() error {
	switch {
	case (f.Kind == StallFirst || f.Kind == Stall) && f.For == 0:
		return decouple.Errorf(decouple.Invalid, "a fault of kind %s needs for: how long nothing comes, such as 30s", f.Kind)
	case (f.Kind == Slow || f.Kind == PriceTimes) && f.Factor == 0:
		return decouple.Errorf(decouple.Invalid, "a fault of kind %s needs factor: how many times, such as 3", f.Kind)
	}
	return nil
}
