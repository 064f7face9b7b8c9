package sim

import (
	"fmt"
	"regexp"
	"strings"

	"decouple.dev/decouple"
)

// Mode says where answers come from.
type Mode string

// The modes.
const (
	ByBuiltin Mode = "builtin" // the extractive model
	ByScript  Mode = "script"  // the first line that matches; the extractive model where none does
	ByEcho    Mode = "echo"    // what was said last
	ByLength  Mode = "length"  // a text of a fixed length
)

// maxText is the longest text of a fixed length, in tokens.
const maxText = 1_000_000

// Answers says what the simulated models say. The zero value is the extractive model.
type Answers struct {
	Mode   Mode
	Tokens int64 // of a fixed length
	Script []Scripted
	Filter []string // a prompt that holds one of these, in any case, is refused by the content filter
}

// Scripted is a line of a script.
type Scripted struct {
	Match   *regexp.Regexp // against what was said last by the user or by a tool
	Text    string
	Thought string
	Calls   []decouple.ToolCall // ids are given
}

// answer is what a model says next.
func (a *Answers) answer(req decouple.Request) (decouple.Answer, error) {
	said := last(req.Messages)
	switch a.Mode {
	case ByEcho:
		return text(req, said), nil
	case ByLength:
		return text(req, filler(a.Tokens)), nil
	case ByScript:
		for _, s := range a.Script {
			if s.Match.MatchString(said) {
				return s.answer(req), nil
			}
		}
	}
	return extract(req)
}

// filtered says whether the content filter refuses a prompt.
func (a *Answers) filtered(req decouple.Request) bool {
	if len(a.Filter) == 0 {
		return false
	}
	for _, m := range req.Messages {
		said := strings.ToLower(m.Text())
		for _, f := range a.Filter {
			if f != "" && strings.Contains(said, strings.ToLower(f)) {
				return true
			}
		}
	}
	return false
}

func (s *Scripted) answer(req decouple.Request) decouple.Answer {
	ans := text(req, s.Text)
	var parts []decouple.Part
	if s.Thought != "" {
		parts = append(parts, decouple.Part{Thought: &decouple.Thought{Text: s.Thought}})
		ans.Usage.Thought = decouple.EstimateTokens(s.Thought)
	}
	if s.Text != "" {
		parts = append(parts, ans.Message.Parts...)
	}
	before := 0
	for _, m := range req.Messages {
		before += len(m.Calls())
	}
	for i, c := range s.Calls {
		c.ID = fmt.Sprintf("call_%d", before+i+1)
		parts = append(parts, decouple.Part{Call: &c})
		ans.Finish = decouple.FinishTools
	}
	ans.Message.Parts = parts
	ans.Usage.TokensOut = tokensOf(ans.Message)
	return ans
}

// text is an answer of text alone, cut at the request's limit.
func text(req decouple.Request, s string) decouple.Answer {
	a := decouple.Answer{Finish: decouple.FinishStop}
	if req.MaxTokens > 0 && decouple.EstimateTokens(s) > req.MaxTokens {
		s, a.Finish = strings.ToValidUTF8(s[:max(0, int(req.MaxTokens-1)*4)], ""), decouple.FinishLength
	}
	a.Message = decouple.Text(decouple.Assistant, s)
	a.Usage.TokensOut = decouple.EstimateTokens(s)
	return a
}

// last is what the user or a tool said last.
func last(messages []decouple.Message) string {
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		var said strings.Builder
		said.WriteString(m.Text())
		for _, p := range m.Parts {
			if p.Result != nil {
				said.WriteString(p.Result.Text)
			}
		}
		if (m.Role == decouple.User || m.Role == decouple.ToolRole) && said.Len() > 0 {
			return said.String()
		}
	}
	return ""
}

// filler is a text that counts as so many tokens.
func filler(tokens int64) string {
	const words = "the quick brown fox jumps over the lazy dog and goes on to "
	n := int(max(1, tokens)-1) * 4
	return strings.Repeat(words, n/len(words)+1)[:n]
}

// tokensOf counts a message: one token for every four bytes of its text, thoughts and calls.
func tokensOf(m decouple.Message) int64 {
	var n int64
	for _, p := range m.Parts {
		switch {
		case p.Call != nil:
			n += decouple.EstimateTokens(p.Call.Name + string(p.Call.Args))
		case p.Result != nil:
			n += decouple.EstimateTokens(p.Result.Text)
			n += int64(len(p.Result.Media)) * mediaTokens
		case p.Thought != nil:
			n += decouple.EstimateTokens(p.Thought.Text)
		case p.Media != nil:
			n += mediaTokens
		case p.Text != "":
			n += decouple.EstimateTokens(p.Text)
		}
	}
	return n
}

// mediaTokens is what an image or a document counts as.
const mediaTokens = 765
