package decouple_test

import (
	"encoding/json"
	"testing"

	"decouple.dev/decouple"
)

func TestCondition(t *testing.T) {
	t.Parallel()
	args := json.RawMessage(`{"method":"POST","amount":120.5,"deep":{"a":[1,"x"]},"flag":true,"it's":1}`)
	for c, want := range map[decouple.Condition]string{
		"":                                  "true",
		"method != 'GET'":                   "true",
		"method == \"GET\"":                 "false",
		"amount > 100 and method == 'POST'": "true",
		"amount > 200 and method == 'POST'": "false",
		"amount > 200 or method == 'POST'":  "true",
		"method == 'X' && amount > 1 || flag == true": "true",
		"deep.a contains 'x'":                         "true",
		"deep.a contains 'y'":                         "false",
		"method contains 'OS'":                        "true",
		"gone == null":                                "true",
		"gone.deeper != null":                         "false",
		"method > 'P'":                                "true",
		"method > 5":                                  "error",
		"gone < 5":                                    "error",
		"flag > true":                                 "error",
		"method":                                      "error",
		"method == GET":                               "error",
		"5 == method":                                 "error",
		"method = 'GET'":                              "error",
		"method == 'GET' method == 'GET'":             "error",
		"method == 'it\\'s'":                          "false",
		"amount >= 120.5 and amount <= 1.205e2":       "true",
		"method == 'GET' or":                          "error",
		"amount ~ 5":                                  "error",
	} {
		got := "error"
		if ok, err := c.Holds(args); err == nil {
			got = map[bool]string{true: "true", false: "false"}[ok]
		}
		if got != want {
			t.Errorf("%q: %s, want %s", c, got, want)
		}
	}
}

func FuzzCondition(f *testing.F) {
	f.Add("method != 'GET' and a.b > 5", `{"method":"x"}`)
	f.Fuzz(func(t *testing.T, c, args string) {
		if _, err := decouple.Condition(c).Holds(json.RawMessage(args)); err == nil && decouple.Condition(c).Check() != nil {
			t.Errorf("%q holds or does not, and cannot be read", c)
		}
	})
}
