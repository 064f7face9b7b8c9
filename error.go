package decouple

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what sort of error it is; it alone decides HTTP status, exit code, retry and failover.
type Kind string

// The kinds of error.
const (
	Invalid         Kind = "invalid"
	Unauthenticated Kind = "unauthenticated"
	Denied          Kind = "denied"
	NotFound        Kind = "not_found"
	Conflict        Kind = "conflict"
	TooLarge        Kind = "too_large"
	RateLimited     Kind = "rate_limited"
	Exhausted       Kind = "exhausted" // a budget
	Unavailable     Kind = "unavailable"
	Deadline        Kind = "deadline"
	Canceled        Kind = "canceled"
	Unknown         Kind = "unknown" // the outcome is not known
	Internal        Kind = "internal"
)

// Rule is what follows from an error's kind.
type Rule struct {
	HTTP     int
	Exit     int
	Retry    bool // the same call later may succeed
	Failover bool // another endpoint may succeed
}

// rules is the one table.
var rules = map[Kind]Rule{
	Invalid:         {400, 2, false, false},
	Unauthenticated: {401, 4, false, true},
	Denied:          {403, 4, false, true},
	NotFound:        {404, 3, false, true},
	Conflict:        {409, 5, false, false},
	TooLarge:        {413, 2, false, false},
	RateLimited:     {429, 7, true, true},
	Exhausted:       {402, 6, false, false},
	Unavailable:     {503, 7, true, true},
	Deadline:        {504, 7, true, true},
	Canceled:        {499, 130, false, false},
	Unknown:         {502, 8, false, false},
	Internal:        {500, 1, false, false},
}

// Rule is the row of the table for k; a kind that is not in it is Internal.
func (k Kind) Rule() Rule {
	if r, ok := rules[k]; ok {
		return r
	}
	return rules[Internal]
}

// Error is an error that people see. Msg says what is wrong and what to do, and already holds the text of Err, which is kept for
// errors.Is and errors.As only.
type Error struct {
	Kind Kind
	Msg  string
	Err  error
}

// Error is Msg.
func (e *Error) Error() string { return e.Msg }

// Unwrap gives the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind; %w wraps.
func Errorf(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf is the kind of err: that of the outermost [Error] in its chain, or by the context errors, or Internal. It is empty for nil.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}
