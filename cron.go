package decouple

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cron is when something happens by the clock: minutes, hours, days of the month, months and days of the week. Where both kinds of day are restricted, either will do.
type Cron struct {
	minute, hour, day, month, weekday uint64 // bits
	dayAny, weekdayAny                bool
}

// cronField is one of the five fields.
type cronField struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

var cronFields = [5]cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}, // 7 is Sunday too
}

var cronWords = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
}

// ParseCron reads the five fields of crontab(5), with lists, ranges, steps and English names, or @hourly, @daily, @weekly, @monthly, @yearly. What never happens, 30 February for
// example, is Invalid.
func ParseCron(s string) (Cron, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if full, ok := cronWords[text]; ok {
		text = full
	}
	words := strings.Fields(text)
	if len(words) != len(cronFields) {
		return Cron{}, Errorf(Invalid, "the schedule %q needs five fields, minute hour day month weekday, such as \"30 9 * * mon-fri\", or a word such as @daily", s)
	}
	var c Cron
	into := [5]*uint64{&c.minute, &c.hour, &c.day, &c.month, &c.weekday}
	for i, f := range cronFields {
		bits, err := f.parse(words[i])
		if err != nil {
			return Cron{}, Errorf(Invalid, "the schedule %q: %w", s, err)
		}
		*into[i] = bits
	}
	c.weekday |= c.weekday >> 7 & 1
	c.dayAny, c.weekdayAny = strings.HasPrefix(words[2], "*"), strings.HasPrefix(words[4], "*")
	if c.Next(time.Unix(0, 0), time.UTC).IsZero() {
		return Cron{}, Errorf(Invalid, "the schedule %q never comes: there is no such day", s)
	}
	return c, nil
}

func (f cronField) parse(word string) (uint64, error) {
	var bits uint64
	for _, part := range strings.Split(word, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || n > f.max {
				return 0, Errorf(Invalid, "%q is not a step of the %s", stepText, f.name)
			}
			step = n
		}
		from, to := f.min, f.max
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			var err error
			if from, err = f.value(first); err != nil {
				return 0, err
			}
			if to = from; ranged {
				if to, err = f.value(last); err != nil {
					return 0, err
				}
			} else if stepped {
				to = f.max
			}
			if to < from {
				return 0, Errorf(Invalid, "the %s %q goes backwards", f.name, span)
			}
		}
		for v := from; v <= to; v += step {
			bits |= 1 << v
		}
	}
	return bits, nil
}

func (f cronField) value(s string) (int, error) {
	if i := slices.Index(f.names, s); i >= 0 {
		return f.min + i, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.min || n > f.max {
		return 0, Errorf(Invalid, "%q is not a %s from %d to %d", s, f.name, f.min, f.max)
	}
	return n, nil
}

// Next is the first time after another one, in a zone; zero if there is none within eight years. A local time that a change of the clocks skips counts as the first moment after the
// gap, and one that comes twice counts once, the first time.
func (c Cron) Next(after time.Time, zone *time.Location) time.Time {
	at := after.In(zone)
	y, mo, d := at.Date()
	for i := range 8*366 + 1 {
		day := time.Date(y, mo, d+i, 12, 0, 0, 0, time.UTC) // a calendar's day, free of clocks
		if c.month>>day.Month()&1 == 0 || !c.onDay(day) {
			continue
		}
		for minute := range 24 * 60 {
			h, m := minute/60, minute%60
			if c.hour>>h&1 == 0 || c.minute>>m&1 == 0 {
				continue
			}
			if t := moment(day, h, m, zone); t.After(after) {
				return t
			}
		}
	}
	return time.Time{}
}

func (c Cron) onDay(day time.Time) bool {
	monthly, weekly := c.day>>day.Day()&1 == 1, c.weekday>>day.Weekday()&1 == 1
	switch {
	case c.dayAny:
		return weekly && monthly
	case c.weekdayAny:
		return monthly && weekly
	}
	return monthly || weekly
}

// moment is when a local time comes: for the first time if it comes twice, and right after the gap if it is skipped.
func moment(day time.Time, h, m int, zone *time.Location) time.Time {
	y, mo, d := day.Date()
	t := time.Date(y, mo, d, h, m, 0, 0, zone)
	if t.Hour() == h && t.Minute() == m {
		for _, back := range []time.Duration{2 * time.Hour, time.Hour, 30 * time.Minute} {
			if e := t.Add(-back); e.Hour() == h && e.Minute() == m && e.Day() == t.Day() {
				return e
			}
		}
		return t
	}
	// Skipped: find the first moment at which the clock shows more than this.
	gap := t.Add(-4 * time.Hour)
	want := h*60 + m
	for ; ; gap = gap.Add(time.Minute) {
		if gap.Day() == d && gap.Hour()*60+gap.Minute() > want {
			return gap
		}
	}
}
