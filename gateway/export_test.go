package gateway

// Drained is how many answers are read to their end for callers who have gone.
func (g *Gateway) Drained() int { return len(g.drains) }
