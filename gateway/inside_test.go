package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, c := range []struct {
		tries  int
		asked  time.Duration
		chance float64
		want   time.Duration
	}{
		{1, 0, 0, s / 2}, {1, 0, 1, s}, {2, 0, 1, 2 * s}, {5, 0, 0, 8 * s}, {99, 0, 1, 16 * s}, {1, 10 * s, 0.5, 10*s + s/2}, {5, s, 1, 16 * s},
	} {
		if got := delay(s, c.tries, c.asked, c.chance); got != c.want {
			t.Errorf("%+v gave %s", c, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"3": 3 * time.Second, "0.5": time.Second / 2, "-3": 0, "NaN": 0, "": 0, "soon": 0, "1e300": 366 * 24 * time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q gave %s, want %s", value, got, want)
		}
	}
	if got := retryAfter(http.Header{"Retry-After-Ms": {"250"}, "Retry-After": {"9"}}, now); got != 250*time.Millisecond {
		t.Errorf("milliseconds gave %s", got)
	}
}

func TestRefuseForeign(t *testing.T) {
	t.Parallel()
	for address, allowed := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true, "10.0.0.1:80": false, "x": false} {
		err := refuseForeign("tcp", address, nil)
		if allowed != (err == nil) || !allowed && decouple.KindOf(err) != decouple.Denied {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestCleaner(t *testing.T) {
	t.Parallel()
	const key = `sk-a/b"c+d`
	clean := Secret(key).cleaner()
	said := clean(strings.Repeat("x", maxSaid-3) + key + ` sk-a/b\"c+d sk-a%2Fb%22c%2Bd`)
	if strings.Contains(said, "sk-") || !strings.HasSuffix(said, "...") {
		t.Errorf("cut in the key: %q", said)
	}
	if got := clean("a\n\tb\x1b[0m\u202e " + key + " sk-a%2Fb%22c%2Bd."); got != "a b [0m [key] [key]" {
		t.Errorf("%q", got)
	}
	if got := Secret("abc").cleaner()("abc"); got != "abc" {
		t.Errorf("%q", got)
	}
}
