package sim

import "regexp"

var (
	createdAt  = regexp.MustCompile(`"(?:created|created_at)":\d+`)
	processing = regexp.MustCompile(`(openai-processing-ms:|server-timing: gfet4t7; dur=)\s*\d+`)
	resetAt    = regexp.MustCompile(`(x-ratelimit-reset-\S+:|x-ratelimit-remaining-tokens-minute:|anthropic-ratelimit-\S+-reset:) \S+`)
)
