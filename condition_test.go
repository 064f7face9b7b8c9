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
		"deep.a contains 'y'":                         "error",
		"deep.b == null":                              "true",
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
		"gone == 'x'":                                 "error",
		"gone != 'x'":                                 "error",
		"gone contains 'x'":                           "error",
		"gone != null and gone == 'x'":                "false",
		"gone == 'x' and method == 'GET'":             "false",
		"gone == 'x' or method == 'POST'":             "true",
		"gone == 'x' or method == 'GET'":              "error",
		"method == 5":                                 "error",
		"method != null":                              "true",
		"amount == '120.5'":                           "error",
		"amount contains '1'":                         "error",
		"flag == 'true'":                              "error",
		"method.deeper == null":                       "error",
		"Method == 'POST'":                            "error",
		"amount == 1e999999999":                       "error",
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

// TestConditionSpellings writes what a rule asks for in other ways: none of them is taken for something else.
func TestConditionSpellings(t *testing.T) {
	t.Parallel()
	const c decouple.Condition = "amount >= 100 and method != 'GET'"
	for _, args := range []string{
		`{"method":"POST","amount":1e2}`, `{"method":"POST","amount":100.0}`, `{"method":"POST","amount":"100"}`, `{"method":"POST","amount":1e999999999}`,
		`{"method":"POST","amount":[100]}`, `{"method":"POST"}`, `{"method":null,"amount":100}`, `{"amount":1,"method":"POST","amount":100}`,
		`{"method":"POST","amount":1,"Amount":100}`, `{"method":"POST","AMOUNT":100}`, `{"method":"GET","amount":100,"Method":"POST"}`, `{"\u006dethod":"POST","amount":100}`,
		`{"method":"GET","amount":1} {"method":"POST","amount":100}`, `"POST"`, ``, `{"method":"GET","amount":1`, `[{"method":"POST","amount":100}]`,
	} {
		if holds, err := c.Holds(json.RawMessage(args)); !holds && err == nil {
			t.Errorf("%s passes the rule %s", args, c)
		}
	}
	for big, want := range map[string]bool{"9007199254740993": true, "9007199254740992": false} {
		if holds, err := decouple.Condition("n > 9007199254740992").Holds(json.RawMessage(`{"n":` + big + `}`)); holds != want || err != nil {
			t.Errorf("%s is more: %v, %v", big, holds, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"b":1e2,"a":[1.50,-0,1E400],"a":{"z":0,"y":" \u0041\ud800"}}`: "{\"a\":{\"y\":\" A\ufffd\",\"z\":0},\"b\":100}",
		` [1.50, -0, 1E400, 1e999999999, 12345678901234567890123] `:     `[1.50,0,1E400,1e999999999,12345678901234567890123]`,
		`"x"`: `"x"`, `{} {}`: "error", ``: "error", `{"a":}`: "error", `nul`: "error", `{"a":1}x`: "error",
	} {
		got, err := decouple.Canonical([]byte(text))
		if err != nil {
			got = []byte("error")
		}
		if string(got) != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":1e2,"a":[1.50,"\u0041"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := decouple.Canonical(text)
		if err != nil {
			return
		}
		if twice, err := decouple.Canonical(once); err != nil || string(twice) != string(once) {
			t.Errorf("%q becomes %q and that %q, %v", text, once, twice, err)
		}
	})
}

func FuzzCondition(f *testing.F) {
	f.Add("method != 'GET' and a.b > 5", `{"method":"x"}`)
	f.Fuzz(func(t *testing.T, c, args string) {
		if _, err := decouple.Condition(c).Holds(json.RawMessage(args)); err == nil && decouple.Condition(c).Check() != nil {
			t.Errorf("%q holds or does not, and cannot be read", c)
		}
	})
}
