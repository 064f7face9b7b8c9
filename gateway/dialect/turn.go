package dialect

import (
	"decouple.dev/decouple"
)

// turn is what one side says until the other speaks, for the formats in which the sides alternate.
type turn struct {
	role  decouple.Role // User or Assistant
	parts []decouple.Part
}

// turnsOf gives what the system says, wherever it stands, and the turns of the user, with the results of tools, and of the assistant. These formats have one
// place for the system's words, before the conversation. A text that is empty is left out: they refuse it.
func turnsOf(req decouple.Request) (system []decouple.Part, turns []turn, err error) {
	for i, m := range req.Messages {
		if err := known(m); err != nil {
			return nil, nil, at(err, i)
		}
		role := m.Role
		if role == decouple.ToolRole {
			role = decouple.User
		}
		for _, p := range m.Parts {
			if plainText(p) && p.Text == "" {
				continue
			}
			if m.Role == decouple.ToolRole && p.Result == nil {
				return nil, nil, at(decouple.Errorf(decouple.Internal, "a tool's message holds results only"), i)
			}
			switch n := len(turns); {
			case role == decouple.System:
				system = append(system, p)
			case n > 0 && turns[n-1].role == role:
				turns[n-1].parts = append(turns[n-1].parts, p)
			default:
				turns = append(turns, turn{role, []decouple.Part{p}})
			}
		}
	}
	return system, turns, nil
}

func plainText(p decouple.Part) bool {
	return p.Call == nil && p.Result == nil && p.Media == nil && p.Thought == nil
}

// called says that tools were called in the conversation.
func called(turns []turn) bool {
	for _, t := range turns {
		for _, p := range t.parts {
			if p.Call != nil || p.Result != nil {
				return true
			}
		}
	}
	return false
}

// split makes the messages of one that holds the results of tools beside what the user says.
func split(role decouple.Role, parts []decouple.Part) []decouple.Message {
	var results, others []decouple.Part
	for _, p := range parts {
		if p.Result != nil {
			results = append(results, p)
		} else {
			others = append(others, p)
		}
	}
	var all []decouple.Message
	if len(results) > 0 {
		all = append(all, decouple.Message{Role: decouple.ToolRole, Parts: results})
	}
	if len(others) > 0 || len(results) == 0 {
		all = append(all, decouple.Message{Role: role, Parts: others})
	}
	return all
}

// inOrder makes one part follow the other where they come interleaved, for the formats in which only one may be open: what belongs to a later part waits.
type inOrder struct {
	open  int // the index of the open part and one, 0 if none is open
	queue []Event
}

// take gives the events whose turn it is.
func (o *inOrder) take(e Event, emit func(Event)) {
	switch {
	case e.Kind == Begin:
		emit(e)
	case e.Kind == Finish:
		for o.open > 0 || len(o.queue) > 0 {
			if o.open > 0 {
				emit(Event{Kind: PartEnd, Index: o.open - 1})
				o.open = 0
			}
			o.drain(emit)
		}
		emit(e)
	case o.open == 0 && e.Kind == PartEnd:
	case o.open == 0 || o.open == e.Index+1:
		o.pass(e, emit)
		o.drain(emit)
	default:
		o.queue = append(o.queue, e)
	}
}

func (o *inOrder) pass(e Event, emit func(Event)) {
	o.open = e.Index + 1
	if e.Kind == PartEnd {
		o.open = 0
	}
	emit(e)
}

// drain lets the part that has waited longest follow, once none is open.
func (o *inOrder) drain(emit func(Event)) {
	for o.open == 0 && len(o.queue) > 0 {
		first, rest := o.queue[0].Index, o.queue[:0:0]
		for _, e := range o.queue {
			if e.Index == first {
				o.pass(e, emit)
			} else {
				rest = append(rest, e)
			}
		}
		o.queue = rest
	}
}

// think takes up what an event says of a thought.
func think(t *decouple.Thought, e Event) {
	t.Text += e.Text
	if e.Thought != nil {
		t.Signature += e.Thought.Signature
		t.Opaque += e.Thought.Opaque
		if e.Thought.ID != "" {
			t.ID = e.Thought.ID
		}
		t.Maker = e.Thought.Maker
	}
}

// proof is what stands in the place of a signature when a thought goes out in a format: the signature of its own maker, else a token.
func proof(f Format, t decouple.Thought) string {
	if own(f, &t) {
		return t.Signature
	}
	return sign(t)
}

// secret is what stands in the place of a thought without text.
func secret(f Format, t decouple.Thought) string {
	if own(f, &t) {
		return t.Opaque
	}
	return sign(t)
}
