package research

import (
	"strings"
	"testing"
)

func TestFault(t *testing.T) {
	t.Parallel()
	const (
		start    = "The pump starts when the valve is open and the tank holds at least 40 litres."
		filter   = "It must not be started while the filter is out, because sand would reach the wheel."
		pressure = "The pressure never exceeds 6 bar. A sensor reads it 10 times a second and writes it to PUMP_LOG."
		sensor   = "If the sensor fails, the pump goes on for 2 minutes and then stops by itself."
		lock     = "For any sync.Mutex or sync.RWMutex variable l and n < m, call n of l.Unlock() is synchronized before call m of l.Lock() returns."
		relies   = "There is no guarantee that the write to done is seen by main. Programs that modify data must not rely on timing."
	)
	tests := []struct {
		name, quote, statement, why string // why is a part of the reason; empty: the statement holds
	}{
		{"verbatim", start, start, ""},
		{"paraphrase", start, "With 40 litres or more in the tank and an open valve the pump starts.", ""},
		{"number changed", start, "The pump starts when the tank holds at least 14 litres.", "number 14"},
		{"number as a word", "There are three ways to lower the pressure.", "The pressure can be lowered in 3 ways.", ""},
		{"word changed", "There are three ways to lower the pressure.", "There are four ways to lower the pressure.", "number 4"},
		{"part of a longer number", "The limit is 400 bar of pressure.", "The limit is 40 bar of pressure.", "number 40"},
		{"thousands", "The header holds 3,000 cookies.", "The header holds 3000 cookies.", ""},
		{"unit changed", sensor, "If the sensor fails, the pump goes on for 2 hours.", "2 min, not 2 h"},
		{"unit in full", "A start of the pump takes 3s.", "A start of the pump takes 3 seconds.", ""},
		{"bound turned", start, "The pump starts when the tank holds at most 40 litres.", "at least 40, not at most"},
		{"one made a number", "The pump starts when a valve is open.", "The pump needs exactly one open valve.", ""},
		{"one made up", start, "The pump needs exactly one open valve.", "number 1"},
		{"not dropped", filter, "The pump must be started while the filter is out.", "negate"},
		{"not added", start, "The pump does not start when the valve is open.", "negation"},
		{"never dropped", pressure, "The pressure exceeds 6 bar.", "negate"},
		{"no guarantee dropped", relies, "There is a guarantee that the write to done is seen by main.", "negate"},
		{"not allowed dropped", "The pump is not allowed to run dry for an hour.", "The pump runs dry for an hour.", "negate"},
		{"one of many negations dropped", "A worker must not read a page that is not pinned, and it must not write a page that is not locked.",
			"A worker must read a page that is not pinned, and it must not write a page that is not locked.", "negate"},
		{"negation of another clause", "A stop does not empty the tank, but it closes the valve.", "A stop closes the valve.", ""},
		{"same negation in other words", relies, "Programs should never rely on timing.", ""},
		{"implied negation", filter, "Starting the pump while the filter is out is forbidden.", ""},
		{"identifier swapped", lock, "For any sync.Cond variable l, unlocking is synchronized before locking.", "sync.Cond"},
		{"identifier cut", lock, "The rule holds for a Mutex variable and its Unlock call.", ""},
		{"identifier in parts", "The Once type of the package sync runs a function once.", "With `sync.Once` a function of a type runs once.", ""},
		{"option swapped", "The option --dry-run checks the valve.", "The option --force checks the valve.", "--force"},
		{"file swapped", "Edit package-lock.json by hand and npm repairs it.", "Edit package.json by hand and npm repairs it.", "package.json"},
		{"constant swapped", pressure, "A sensor writes the pressure to PUMP_TRACE.", "PUMP_TRACE"},
		{"code swapped", "Call `pump.Start` to start it.", "Call `pump.Stop` to start it.", "pump.Stop"},
		{"acronym in small letters", "The json document is read whole.", "The JSON document is read whole.", ""},
		{"name swapped", "On Linux the file is locked.", "The file is locked on Windows.", "Windows"},
		{"name of the title", "The file is locked.", "In the Pump Manual the file is locked.", ""},
		{"words in quotation marks", start, `The pump starts when the valve is "open and the tank holds".`, ""},
		{"altered words in quotation marks", start, `The pump starts when "the valve is shut".`, "the words"},
		{"something else", "Roses are cut in March.", "The pump starts when the valve is open.", "something else"},
		{"abbreviation", start, "The pump starts when, e.g., the valve is open.", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := evidence{quotes: []string{test.quote}, known: "Pump Manual"}.fault(test.statement)
			if (got == "") != (test.why == "") || !strings.Contains(got, test.why) {
				t.Errorf("%q against %q: got fault %q, want one with %q", test.statement, test.quote, got, test.why)
			}
		})
	}
}

// A sentence must always be carried by itself: else a model that copies could never pass.
func TestFaultOfTheQuotationItself(t *testing.T) {
	t.Parallel()
	for note, text := range shelfOf(t) {
		for _, s := range cut(text) {
			if strings.HasPrefix(s.text, "#") {
				continue
			}
			if why := (evidence{quotes: []string{s.text}}).fault(s.text); why != "" {
				t.Errorf("%s: %q does not carry itself: %s", note, s.text, why)
			}
		}
	}
}
