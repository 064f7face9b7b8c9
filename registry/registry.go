// Package registry answers "who are they, what may they?" of agents and of callers.
//
// An agent is one Markdown file whose front matter says what
// the agent may use, and whose body is its prompt. [Parse] reads one file; [Load] reads folders of them into a [Set] in which every
// name that an agent refers to leads somewhere.
//
// A file is right or it is refused: an unknown key, a wrong type or a number out of range could silently lift a limit. All the faults of a file
// are reported at once, each with its line and what to do.
//
// A caller has a bearer key with a tenant, an actor and a role. [Keys] folds the streams of keys, in which only hashes are kept.
package registry

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

// Source is a folder of agent files.
type Source struct {
	Name string // for messages: the folder's path, or "embedded"
	FS   fs.FS
}

// Set holds agents by name. It does not change.
type Set struct {
	agents map[decouple.AgentName]parsed
	tools  []string
}

// Load reads the agent files of sources: those at the top of each folder whose names end in .md, but for README.md. An agent of a later source
// replaces the one of the same name in an earlier source. Tools are the names that an agent may list. Invalid reports the faults of all
// files as [Faults]: those of [Parse], one name in two files of a source, references to agents and tools that do not exist. Other errors are
// those of reading, with the place.
func Load(tools []string, sources ...Source) (*Set, error) {
	s := &Set{agents: map[decouple.AgentName]parsed{}, tools: tools}
	var faults Faults
	for _, src := range sources {
		found, err := s.load(src)
		if err != nil {
			return nil, err
		}
		faults = append(faults, found...)
	}
	for _, name := range s.names() {
		faults = append(faults, s.resolve(s.agents[name])...)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) load(src Source) (Faults, error) {
	files, err := fs.Glob(src.FS, "*.md") // the pattern is well-formed; a folder that cannot be read shows when it is opened
	if err == nil {
		_, err = fs.Stat(src.FS, ".")
	}
	if err != nil {
		return nil, readError(src.Name, err)
	}
	var faults Faults
	here := map[decouple.AgentName]string{}
	for _, file := range files {
		if strings.EqualFold(file, "README.md") {
			continue
		}
		full := path.Join(src.Name, file)
		data, err := fs.ReadFile(src.FS, file)
		if err != nil {
			return nil, readError(full, err)
		}
		p := parse(full, data)
		faults = append(faults, p.faults...)
		name := p.agent.Name
		if name == "" {
			continue
		}
		if first, ok := here[name]; ok {
			faults = append(faults, Fault{full, p.line("name"), "agent " + string(name) + " is also in " + first + ": give one of them another name"})
			continue
		}
		here[name] = full
		s.agents[name] = p
	}
	return faults, nil
}

func readError(place string, err error) error {
	kind := decouple.Unavailable
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = decouple.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = decouple.Denied
	}
	return decouple.Errorf(kind, "reading agents from %s: %w", place, err)
}

// resolve looks up what an agent refers to.
func (s *Set) resolve(p parsed) Faults {
	var faults Faults
	for i, tool := range p.agent.Tools {
		if tool != "" && !slices.Contains(s.tools, tool) {
			faults = append(faults, Fault{p.file, p.item("tools", i), "there is no tool " + quote(tool) + suggest(tool, s.tools)})
		}
	}
	for i, name := range p.agent.Agents {
		faults = append(faults, s.lookUp(p, name, p.item("agents", i))...)
	}
	return append(faults, s.lookUp(p, p.agent.Writer, p.line("writer"))...)
}

// lookUp finds an agent, or nothing to find: a name that is wrong by itself has its fault already.
func (s *Set) lookUp(p parsed, name decouple.AgentName, line int) Faults {
	if _, ok := s.agents[name]; ok || name == p.agent.Name || name == "" {
		return nil
	}
	return Faults{{p.file, line, "there is no agent " + quote(string(name)) + suggest(string(name), s.known())}}
}

// Agent is the agent of a name. An unknown one is NotFound, with the nearest known name.
func (s *Set) Agent(name decouple.AgentName) (decouple.Agent, error) {
	p, ok := s.agents[name]
	if !ok {
		return decouple.Agent{}, decouple.Errorf(decouple.NotFound, "there is no agent %q%s", name, suggest(string(name), s.known()))
	}
	return p.agent, nil
}

// File is where an agent was read, empty for an unknown one.
func (s *Set) File(name decouple.AgentName) string { return s.agents[name].file }

// Agents lists all agents by name.
func (s *Set) Agents() []decouple.Agent {
	var all []decouple.Agent
	for _, name := range s.names() {
		all = append(all, s.agents[name].agent)
	}
	return all
}

// Check reads a file as if it were loaded last: its references may lead to the agents of the set and to itself.
func (s *Set) Check(file string, data []byte) (decouple.Agent, error) {
	p := parse(file, data)
	if err := append(p.faults, s.resolve(p)...).err(); err != nil {
		return decouple.Agent{}, err
	}
	return p.agent, nil
}

func (s *Set) names() []decouple.AgentName { return slices.Sorted(maps.Keys(s.agents)) }

func (s *Set) known() []string {
	var all []string
	for _, name := range s.names() {
		all = append(all, string(name))
	}
	return all
}

// Fault is one thing that is wrong with an agent file.
type Fault struct {
	File string
	Line int    // from 1
	Text string // what is wrong and what to do
}

// Faults is everything that is wrong with agent files, by file and line.
type Faults []Fault

// Error has one line for each fault: file:line: text.
func (fs Faults) Error() string {
	var lines []string
	for _, f := range fs {
		lines = append(lines, f.File+":"+itoa(f.Line)+": "+f.Text)
	}
	return strings.Join(lines, "\n")
}

// err is an Invalid error that wraps the faults, or nil if there are none.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	slices.SortStableFunc(fs, func(a, b Fault) int { return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line) })
	return decouple.Errorf(decouple.Invalid, "%w", fs)
}
