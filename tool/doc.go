// Package tool answers "what can an agent do?": it holds the tools that agents are given.
//
// [Notes] gives the tools that read what is known: notes.search, notes.outline and notes.read. They have no effect on the world, see only the sources of the run that
// calls them, and answer in JSON, in the shapes of the root package. Arguments that are wrong are answered with what is right, so that a model can mend its call.
//
// [Memory] gives the tools by which agents remember, [HTTP] those that reach hosts, one for each effect.
package tool
