package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// moneyFlag is an amount of dollars.
type moneyFlag struct {
	money decouple.Money
	set   bool
}

// Set reads an amount.
func (f *moneyFlag) Set(s string) error {
	m, err := decouple.ParseMoney(strings.TrimPrefix(s, "$"))
	f.money, f.set = m, err == nil
	return err
}

// String is the amount, or nothing.
func (f *moneyFlag) String() string {
	if !f.set {
		return ""
	}
	return f.money.String()
}

// Type names the kind of value.
func (f *moneyFlag) Type() string { return "USD" }

// limitFlag is a limit that must be more than zero; k and M stand for thousand and million.
type limitFlag struct {
	n   int64
	min int64
	set bool
}

// Set reads a limit.
func (f *limitFlag) Set(s string) error {
	digits, unit := s, int64(1)
	switch {
	case strings.HasSuffix(s, "k"):
		digits, unit = s[:len(s)-1], 1_000
	case strings.HasSuffix(s, "M"):
		digits, unit = s[:len(s)-1], 1_000_000
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < f.min || n > 1<<53/unit {
		return errors.New("it must be a whole number of at least " + strconv.FormatInt(f.min, 10) + ", such as 3 or 200k")
	}
	f.n, f.set = n*unit, true
	return nil
}

// String is the limit, or nothing.
func (f *limitFlag) String() string {
	if !f.set {
		return ""
	}
	return strconv.FormatInt(f.n, 10)
}

// Type names the kind of value.
func (f *limitFlag) Type() string { return "N" }

// timeFlag is a time that must be more than zero.
type timeFlag struct{ d time.Duration }

// Set reads a duration.
func (f *timeFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("it must be a time such as 90s, 5m or 1h30m")
	}
	f.d = d
	return nil
}

// String is the time, or nothing.
func (f *timeFlag) String() string {
	if f.d == 0 {
		return ""
	}
	return f.d.String()
}

// Type names the kind of value.
func (f *timeFlag) Type() string { return "time" }
