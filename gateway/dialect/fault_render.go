package dialect

import (
	"errors"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

// FaultFrom makes a fault of an error, so that it can be told in the words of any format. What is a *[Fault] already is given back.
func FaultFrom(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	kind := decouple.KindOf(err)
	return &Fault{Status: kind.Rule().HTTP, Message: err.Error(), kind: kind}
}

// RenderFault writes an error as the format's own servers do, and gives its HTTP status. Bedrock also wants [FaultType] in the header x-amzn-ErrorType.
func RenderFault(f Format, ft *Fault) (int, []byte) {
	status := ft.Status
	if status < 400 || status > 599 {
		status = ft.Kind().Rule().HTTP
	}
	var body []byte
	switch kind := FaultType(f, ft); f {
	case Messages:
		body = must(messagesFault{Type: "error", Error: messagesFaultBody{kind, ft.Error()}})
	case Generate:
		body = must(generateFault{generateFaultBody{status, ft.Error(), kind}})
	case Converse:
		body = must(converseFault{kind, ft.Error()})
	default:
		body = must(chatFault{newChatFault(ft)})
	}
	return status, body
}

type messagesFault struct {
	Type  string            `json:"type"`
	Error messagesFaultBody `json:"error"`
}

type messagesFaultBody struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

type generateFault struct {
	Error generateFaultBody `json:"error"`
}

type generateFaultBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
}

type converseFault struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

type chatFault struct {
	Error chatFaultBody `json:"error"`
}

type chatFaultBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func newChatFault(ft *Fault) chatFaultBody {
	b := chatFaultBody{Message: ft.Error(), Type: FaultType(Chat, ft)}
	code := ft.Code
	if code == "" || strings.Trim(code, "0123456789") == "" || ft.Type != "" && ft.Type != b.Type {
		code = faultRow(ft.Kind()).code
	}
	if code != "" {
		b.Code = &code
	}
	if ft.Param != "" {
		b.Param = &ft.Param
	}
	return b
}

// FaultType is the name that the format's own servers give to such an error. A name of the format that the fault has already is kept.
func FaultType(f Format, ft *Fault) string {
	row := faultRow(ft.Kind())
	name := row.chat
	switch f {
	case Messages:
		name = row.messages
	case Generate:
		name = row.generate
	case Converse:
		name = row.converse
	}
	given := ft.Type
	if f == Converse {
		given = upperFirst(given)
	}
	if given != "" && slices.Contains(faultTypes(f), given) {
		return given
	}
	return name
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

type faultNames struct {
	kind                         decouple.Kind
	chat, code                   string
	messages, generate, converse string
}

// faultTable gives the words of each format for a kind of error. The last row is for every other kind.
var faultTable = []faultNames{
	{decouple.Invalid, "invalid_request_error", "", "invalid_request_error", "INVALID_ARGUMENT", "ValidationException"},
	{decouple.Unauthenticated, "invalid_request_error", "invalid_api_key", "authentication_error", "UNAUTHENTICATED", "UnrecognizedClientException"},
	{decouple.Denied, "permission_error", "", "permission_error", "PERMISSION_DENIED", "AccessDeniedException"},
	{decouple.NotFound, "invalid_request_error", "model_not_found", "not_found_error", "NOT_FOUND", "ResourceNotFoundException"},
	{decouple.Conflict, "invalid_request_error", "", "invalid_request_error", "ABORTED", "ConflictException"},
	{decouple.TooLarge, "invalid_request_error", "context_length_exceeded", "request_too_large", "INVALID_ARGUMENT", "ValidationException"},
	{decouple.RateLimited, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException"},
	{decouple.Exhausted, "insufficient_quota", "insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED", "ServiceQuotaExceededException"},
	{decouple.Unavailable, "server_error", "", "overloaded_error", "UNAVAILABLE", "ServiceUnavailableException"},
	{decouple.Deadline, "server_error", "timeout", "timeout_error", "DEADLINE_EXCEEDED", "ModelTimeoutException"},
	{decouple.Canceled, "server_error", "", "api_error", "CANCELLED", "InternalServerException"},
	{decouple.Internal, "server_error", "", "api_error", "INTERNAL", "InternalServerException"},
}

func faultRow(k decouple.Kind) faultNames {
	for _, row := range faultTable {
		if row.kind == k {
			return row
		}
	}
	return faultTable[len(faultTable)-1]
}

// faultTypes are the names that a format's own servers give to errors.
func faultTypes(f Format) []string {
	switch f {
	case Messages:
		return []string{"invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error", "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error"}
	case Generate:
		return []string{"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "ABORTED", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "CANCELLED", "DATA_LOSS", "UNKNOWN", "INTERNAL", "UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
	case Converse:
		return []string{"ValidationException", "AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "ResourceNotFoundException", "ThrottlingException", "ModelTimeoutException", "ModelErrorException", "ModelNotReadyException", "ModelStreamErrorException", "InternalServerException", "ServiceUnavailableException", "ServiceQuotaExceededException", "ConflictException"}
	}
	return []string{"invalid_request_error", "permission_error", "rate_limit_error", "insufficient_quota", "server_error", "requests", "tokens", "image_generation_user_error"}
}

// must is marshal of what cannot fail: texts and numbers.
func must(v any) []byte {
	data, err := marshal(v)
	if err != nil {
		return []byte("{}")
	}
	return data
}
