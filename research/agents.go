package research

import (
	"embed"
	"io/fs"

	"decouple.dev/decouple"
)

// The agents of a research run, as their files name them.
const (
	Lead       decouple.AgentName = "lead"
	Researcher decouple.AgentName = "researcher"
	Writer     decouple.AgentName = "writer"
)

//go:embed agents/*.md
var agentFiles embed.FS

// Agents holds the files of the research agents, one Markdown file each at the top.
func Agents() fs.FS {
	files, err := fs.Sub(agentFiles, "agents")
	if err != nil {
		panic("research: the embedded folder agents is gone: " + err.Error())
	}
	return files
}
