package decouple_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"decouple.dev/decouple"
)

func TestCron(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, zone, after, want string }{
		{"30 9 * * *", "UTC", "2026-11-24T09:29:59Z", "2026-11-24T09:30:00Z"},
		{"30 9 * * *", "UTC", "2026-11-24T09:30:00Z", "2026-11-25T09:30:00Z"},
		{"*/15 * * * *", "UTC", "2026-11-24T09:31:00Z", "2026-11-24T09:45:00Z"},
		{"0 9 * * mon-fri", "UTC", "2026-11-27T10:00:00Z", "2026-11-30T09:00:00Z"},
		{"0 9 1,15 * *", "UTC", "2026-11-02T10:00:00Z", "2026-11-15T09:00:00Z"},
		{"0 9 13 * fri", "UTC", "2026-11-01T00:00:00Z", "2026-11-06T09:00:00Z"}, // either day will do
		{"0 0 29 feb *", "UTC", "2026-11-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 * * 7", "UTC", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"@monthly", "UTC", "2026-11-24T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"5-20/5 3 * * *", "UTC", "2026-11-24T03:10:00Z", "2026-11-24T03:15:00Z"},
		{"0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"},
		{"0 9 * * *", "Europe/Berlin", "2026-12-01T00:00:00Z", "2026-12-01T08:00:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"}, // skipped: the first moment after the gap
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"}, // comes twice: the first
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"0 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z"}, // midnight is skipped
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		cron, err := decouple.ParseCron(c.cron)
		if err != nil {
			t.Error(err)
			continue
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := cron.Next(after, zone).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%q in %s after %s: %s, want %s", c.cron, c.zone, c.after, got, c.want)
		}
	}
	for _, bad := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "0 0 30 feb *", "@never", "x * * * *", "1- * * * *"} {
		if _, err := decouple.ParseCron(bad); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzCron(f *testing.F) {
	f.Add("30 9 * * mon-fri", int64(1_700_000_000))
	f.Add("@daily", int64(0))
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		c, err := decouple.ParseCron(s)
		if err != nil {
			return
		}
		after := time.Unix(unix%4_000_000_000, 0)
		if next := c.Next(after, time.UTC); !next.After(after) && !next.IsZero() {
			t.Errorf("%q after %v is %v", s, after, next)
		}
	})
}
