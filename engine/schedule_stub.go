package engine

import "context"

func (e *Engine) keepSchedules(ctx context.Context) { <-ctx.Done() }
