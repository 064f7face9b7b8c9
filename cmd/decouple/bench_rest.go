package main

import (
	"context"

	"decouple.dev/decouple"
)

func benchParked(ctx context.Context, dir string) (figures, error) { return nil, decouple.Errorf(decouple.Internal, "x") }
func benchIndex(ctx context.Context, dir string) (figures, error)  { return nil, decouple.Errorf(decouple.Internal, "x") }
func benchQuery(ctx context.Context, dir string) (figures, error)  { return nil, decouple.Errorf(decouple.Internal, "x") }
