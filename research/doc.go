// Package research answers "what is true about this question?": it holds the agents that search and write, the tools by which they hand in
// what they found, the check that every quotation and every sentence must pass, the report, and the evaluation of all that.
//
// A research run is a tree. Its root is the agent lead, which plans and spawns researchers; each of them searches, reads, and hands in findings with
// the tool findings.add: a claim and the quotations that carry it. The tool answers at once which quotations stand, letter for letter, where they
// are said to stand, so that a model can mend what does not hold. What was accepted is a fact in the journal, whatever becomes of the
// agent that found it. When the root has stopped searching, for whatever cause, the engine has the agent writer write the answer from the
// tool findings.list, with a mark such as [2] in every sentence.
//
// Then code, not a model, decides what the report may say. [Assemble] looks up every quotation again, holds every claim and every sentence of the
// answer against the quotations it cites, removes what does not hold, and lists what it removed.
//
// Read in this order: quotation.go (is it in the source?), claim.go and polarity.go (do the quotations carry the words?), finding.go (the tools),
// answer.go (the written answer), tree.go and report.go (from a run tree to a report), collect.go (from the journal to a run tree),
// evaluation.go (how good is it?).
package research
