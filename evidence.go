package decouple

// Task is what a run is asked to do: the first user message of a research agent, as JSON.
type Task struct {
	Question  string   `json:"question"`
	Objective string   `json:"objective,omitempty"` // what the answer is for
	Theme     []string `json:"theme,omitempty"`     // terms of the whole question that every sub-question shares
	Section   []string `json:"section,omitempty"`   // heading path to begin at
	Sources   []NoteID `json:"sources,omitempty"`   // begin with these notes; empty means all that the run may read
}

// Term is a folded word of a query and how many passages hold it.
type Term struct {
	Term     string `json:"term"`
	Passages int    `json:"passages"`
}

// Unit is a contiguous stretch of a note's quotable text that can stand as a quotation: a paragraph, a list with its introduction,
// one to three sentences, a code block with the sentence before it.
type Unit struct {
	Note    NoteID   `json:"note"`
	Title   string   `json:"title"`
	Path    string   `json:"path"`
	Section []string `json:"section"` // heading path, outermost first
	Kind    string   `json:"kind"`    // paragraph, list, code, cell
	Start   int      `json:"start"`   // byte offsets in the quotable text
	End     int      `json:"end"`
	Text    string   `json:"text"`
	Score   float64  `json:"score"`
	Matched []string `json:"matched"` // the query's terms in it or in its heading path
}

// SearchArgs are the arguments of the tool notes.search.
type SearchArgs struct {
	Query   string   `json:"query"`
	Theme   []string `json:"theme,omitempty"`   // further terms that count less than the query's own
	Section []string `json:"section,omitempty"` // prefer units under this heading path
	Sources []NoteID `json:"sources,omitempty"`
	Limit   int      `json:"limit,omitempty"` // units, default 12
}

// SearchResult is the result of notes.search, best unit first.
type SearchResult struct {
	Passages int    `json:"passages"` // searched
	Terms    []Term `json:"terms"`    // the query's, with how many passages hold each: 0 means the sources never say it
	Units    []Unit `json:"units"`
}

// OutlineArgs are the arguments of the tool notes.outline.
type OutlineArgs struct {
	Note NoteID `json:"note"`
}

// Section is one heading of a note with what is under it, up to the next heading of its level.
type Section struct {
	Path  []string `json:"path"` // heading path, this heading last
	Start int      `json:"start"`
	End   int      `json:"end"`
	Units int      `json:"units"` // quotable units directly under it
}

// Outline is the result of notes.outline: a note's headings in order.
type Outline struct {
	Note     NoteID    `json:"note"`
	Title    string    `json:"title"`
	Path     string    `json:"path"`
	Sections []Section `json:"sections"`
}

// ReadArgs are the arguments of the tool notes.read: a stretch of quotable text.
type ReadArgs struct {
	Note  NoteID `json:"note"`
	Start int    `json:"start"`
	End   int    `json:"end,omitempty"` // default start + 4,096; widened to whole blocks
}

// ReadResult is the result of notes.read.
type ReadResult struct {
	Note    NoteID   `json:"note"`
	Title   string   `json:"title"`
	Section []string `json:"section"`
	Start   int      `json:"start"`
	End     int      `json:"end"`
	Size    int      `json:"size"` // of the whole quotable text
	Text    string   `json:"text"`
	Units   []Unit   `json:"units"`
}

// QuoteArg is a quotation as an agent hands it in: words and where they are said to stand.
type QuoteArg struct {
	Note  NoteID `json:"note"`
	Text  string `json:"text"`
	Start int    `json:"start,omitempty"` // a hint where the text stands more than once
}

// FindingArgs are the arguments of the tool findings.add.
type FindingArgs struct {
	Claim  string     `json:"claim"`
	Quotes []QuoteArg `json:"quotes"`
}

// Refusal says which quotation or claim did not hold and why.
type Refusal struct {
	Text string `json:"text"`
	Why  string `json:"why"`
}

// FindingResult is the result of findings.add.
type FindingResult struct {
	Accepted int       `json:"accepted"` // quotations that were found letter for letter
	Refused  []Refusal `json:"refused,omitempty"`
}

// Quote is a quotation that was found letter for letter.
type Quote struct {
	Note   NoteID `json:"note"`
	Text   string `json:"text"`
	Source string `json:"source"` // the note's title
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the file's bytes
	Start  int    `json:"start"`  // bytes in the quotable text
	End    int    `json:"end"`
	Line   int    `json:"line"` // in the quotable text, from 1
}

// Finding is a claim with the quotations that carry it.
type Finding struct {
	Number int     `json:"number"` // in the report, from 1
	Claim  string  `json:"claim"`
	Quotes []Quote `json:"quotes"`
	Run    RunID   `json:"run"`
	Asked  string  `json:"asked"` // the question of the run that found it
}

// FindingsResult is the result of the tool findings.list: what the tree has found and what held.
type FindingsResult struct {
	Question string    `json:"question"`
	Findings []Finding `json:"findings"`
}

// Names of the tools that research agents are given.
const (
	ToolSearch       = "notes.search"
	ToolOutline      = "notes.outline"
	ToolRead         = "notes.read"
	ToolFindingsAdd  = "findings.add"
	ToolFindingsList = "findings.list"
	ToolSpawn        = "agents.spawn"
)

// Names of the tools that the engine performs itself, for agents that list them.
const (
	ToolMemoryPut    = "memory.put"
	ToolMemoryGet    = "memory.get"
	ToolMemorySearch = "memory.search"

	ToolSleep      = "time.sleep"  // {"for": "90m"} or {"until": "2027-01-31T09:00:00Z"}: parks the run
	ToolSignal     = "signal.wait" // {"name": "paid", "for": "72h"}: parks the run until a signal of that name comes
	ToolResultRead = "result.read" // {"call": "3/1", "page": 2}: a page of a long result, or of one that was elided; offered by itself where needed
)

// SpawnArgs are the arguments of the tool agents.spawn.
type SpawnArgs struct {
	Agent AgentName `json:"agent"`
	Task  Task      `json:"task"`
}
