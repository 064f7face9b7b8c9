package dialect

import (
	"iter"
	"maps"
	"slices"
)

// Of gives both sides of a wire format; false is that there is no such format.
func Of(f Format) (Client, Server, bool) {
	switch f {
	case Chat:
		return chatClient{}, chatServer{}, true
	case Responses:
		return responsesClient{}, responsesServer{}, true
	case Messages:
		return messagesClient{}, messagesServer{}, true
	case Converse:
		return converseClient{}, converseServer{}, true
	case Generate:
		return generateClient{}, generateServer{}, true
	}
	return nil, nil, false
}

// ContentType is what an answer of a format says that it is, whole or as a stream.
func ContentType(f Format, stream bool) string {
	switch {
	case !stream:
		return "application/json"
	case f == Converse:
		return "application/vnd.amazon.eventstream"
	}
	return "text/event-stream"
}

// sorted gives the keys of a map in order.
func sorted[V any](m map[int]V) iter.Seq[int] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
