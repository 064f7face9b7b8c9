package exit

import (
	"bytes"
	"context"

	"decouple.dev/decouple/risk/sign"
)

// OpenBytes is Open of what is in memory.
func OpenBytes(ctx context.Context, data []byte, by sign.Public) (*Bundle, error) {
	b := &Bundle{f: bytes.NewReader(data), size: int64(len(data)), close: func() error { return nil }, files: map[string]entry{}}
	return b, b.open(ctx, by, nil)
}

// Lines reads a line of each folder and writes it again.
func Lines(folder string, line []byte) ([]byte, error) {
	switch folder {
	case keysFolder:
		return again(decodeKey, encodeKey)(line)
	case runsFolder:
		return again(decodeRun, encodeRun)(line)
	case messagesFolder:
		return again(decodeMessage, encodeMessage)(line)
	case commitsFolder:
		return again(decodeCommit, encodeCommit)(line)
	}
	e, err := decodeEvent(line)
	if err != nil {
		return nil, err
	}
	return encodeEvent(&e)
}

func again[T any](decode func([]byte) (*T, error), encode func(*T) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(line []byte) ([]byte, error) {
		v, err := decode(line)
		if err != nil {
			return nil, err
		}
		return encode(v)
	}
}

// EncodeEvent and DecodeEvent are the two ways of an event.
var (
	EncodeEvent = encodeEvent
	DecodeEvent = decodeEvent
)

// Header is that of a file in a bundle.
var Header = header
