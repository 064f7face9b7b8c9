package dialect

import "decouple.dev/decouple"

// Format names a wire format.
type Format string

// The wire formats.
const (
	Chat      Format = "openai.chat"
	Responses Format = "openai.responses"
	Messages  Format = "anthropic.messages"
	Generate  Format = "gemini.generate"
	Converse  Format = "bedrock.converse"
)

// Client is the side of a wire format that asks.
type Client interface {
	// Encode gives the body of a request, and the names that its tools have on the wire. The same request always gives the same bytes. What the format cannot
	// say is Invalid and named by its field.
	Encode(req decouple.Request, o Options) ([]byte, Names, error)
	// Decode reads a whole answer. A fault inside it is a *[Fault]; what makes no sense is Unavailable.
	Decode(body []byte, names Names) (decouple.Answer, error)
	// Reader reads a streamed answer.
	Reader(names Names) Reader
}

// Server is the side of a wire format that answers.
type Server interface {
	// Parse reads a request. Whatever is wrong with it, or cannot be carried, is Invalid and named by its field.
	Parse(in Inbound) (decouple.Request, error)
	// Render gives a whole answer.
	Render(a decouple.Answer, h Head) ([]byte, error)
	// Writer writes a streamed answer.
	Writer(h Head) Writer
}

// Reader reads a streamed answer from bytes as they come, in pieces of any size.
type Reader interface {
	// Feed takes bytes and gives what they brought. A fault inside the stream is a *[Fault]; what makes no sense, and an end without any content, is Unavailable.
	// The event Finish comes when the server ends the stream by its own rules; where the bytes end without that, whoever forwards the events calls [Rest].
	Feed(p []byte) ([]Event, error)
	// Done says that the server has ended the stream by its own rules: whatever it still sends means nothing.
	Done() bool
	// End is the answer, when there are no more bytes. A stream that was cut off, or brought nothing, is Unavailable; Answer then holds what there was.
	End() (decouple.Answer, error)
}

// Writer writes a streamed answer: it appends to dst, and gives whole frames only.
type Writer interface {
	Event(dst []byte, e Event) []byte
	// Fault ends the stream with an error, in the words of the format.
	Fault(dst []byte, f *Fault) []byte
}

// EventKind says what a piece of a streamed answer is.
type EventKind int

// The kinds of event, in the order in which they come: one Begin, the parts one after the other or, where tools are called in parallel, interleaved, one Finish.
const (
	Begin        EventKind = iota // the server has begun: ID and Model; it may still fail
	TextDelta                     // Text goes on in part Index
	RefusalDelta                  // like TextDelta: why the model will not answer
	ThoughtDelta                  // Text goes on in the thought of part Index; Thought holds what comes once: signature, opaque, id
	CallBegin                     // Call holds id and name of the call in part Index
	CallDelta                     // Text goes on in the arguments of part Index
	PartEnd                       // part Index is whole
	Finish                        // Finish, Usage, and whatever is known of the whole
)

// Event is one piece of a streamed answer.
type Event struct {
	Kind     EventKind
	Index    int // of the part, from 0, over parts of every sort
	Text     string
	Call     *decouple.ToolCall
	Thought  *decouple.Thought
	ID       string           // of Begin
	Model    string           // of Begin
	Answer   *decouple.Answer // of Finish: Finish, Usage, Stopped, Logprobs, Tier
	Logprobs []byte           // of TextDelta: JSON, as OpenAI writes them
}

// Moved says whether an event shows that the model works: from then on a caller must be shown the answer.
func (e Event) Moved() bool { return e.Kind > Begin && e.Kind < Finish && e.Kind != PartEnd }

// Options are the choices that a server may force upon who asks it.
type Options struct {
	Stream   bool
	Model    string // the server's own name for the model; empty is the request's
	NoUsage  bool   // Chat: do not ask for usage at a stream's end: some servers refuse stream_options
	NewLimit bool   // Chat: name the limit of the answer max_completion_tokens: some models refuse max_tokens
	MaxOut   int64  // Messages: the limit of an answer where the request names none, which this format must

	Asked      Format // the format in whose words a field is named that cannot be carried; empty is Chat
	NoThoughts bool   // Chat: leave out what the model thought before: some servers refuse it
	Budgets    bool   // Messages, Converse, Generate: the model thinks by a budget of tokens; an effort is made one
	NoIDs      bool   // Generate: leave out the ids of calls: some servers refuse them
	Signed     bool   // Generate: the model refuses calls without a signature (Gemini 3): those of other makers get the one that skips the check
}

// Inbound is a request as it came in.
type Inbound struct {
	Body   []byte
	Model  string // where the path names it
	Stream bool   // where the path says so
}

// Head is what an answer carries besides what the model said.
type Head struct {
	ID      string // of the answer
	Model   string // as the caller named it
	Created int64  // seconds since 1970
	Usage   bool   // Chat: the caller wants usage at the stream's end
	Array   bool   // Generate: the caller has not asked for server-sent events, and gets a JSON array piece by piece
	Request *decouple.Request

	Previous   string // Responses: previous_response_id
	Store      bool   // Responses: the gateway keeps the answer
	Background bool   // Responses: the caller polls for it
	Metadata   []byte // Responses: JSON, as the caller gave it
}

// Passage looks over a streamed answer that goes through as it came. It decodes as little as it can.
type Passage interface {
	// Feed takes bytes and says how many of them, from the first that it was ever given, end in whole frames, and what all of those brought.
	// A fault inside the stream is a *[Fault]; what makes no sense, and an end without any content, is Unavailable; Seen then tells of the frames before it.
	Feed(p []byte) (Seen, error)
	// Done says that the stream has ended by its format's own rules. Streams of Generate have no end mark: theirs is whole at its last byte if Seen.Finish is set.
	Done() bool
}

// Seen is what went by since the stream began.
type Seen struct {
	Whole    int             // bytes fed so far that end with a whole frame
	Moved    bool            // the model has begun to work
	Usage    *decouple.Usage // reported
	Finish   decouple.Finish
	Model    string
	TextSize int // bytes that the model wrote, roughly, for an estimate when the usage is not reported
}

// Sketch is what a request asks for, as far as it matters for one that goes through as it came: read in one pass, without decoding the rest.
type Sketch struct {
	Model      string
	ModelAt    [2]int // where the value of the model stands in the body, quotes included; zero where only the path names it
	Stream     bool
	Usage      bool  // Chat: stream_options asks for usage
	OptionsAt  int   // Chat: where [AskUsage] puts what asks for it, 0 if it is there
	OptionsEnd int   // Chat: where what it replaces ends
	MaxOut     int64 // tokens of the answer, 0 if no limit is named
	Answers    int   // n
	TokensIn   int64 // an upper estimate of the prompt's tokens
	Tools      bool
	Media      bool
	Shape      bool // JSON is demanded
	Thinking   bool
	CacheMarks bool
	User       string // prompt_cache_key, session or user: whatever ties calls together
	Tier       string
	Previous   string // Responses: previous_response_id
	Kept       bool   // Responses: it belongs to a conversation that the server keeps
	Background bool   // Responses: it is to be polled for
	NoStore    bool   // Responses: store is false

	size    int  // of the body
	inner   bool // OptionsAt is inside of a stream_options that is there
	unnamed bool // bodies of the format have no place for a model
}
