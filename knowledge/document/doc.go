// Package document answers "what does this document say, and what of it can be quoted?" It turns the bytes of one document into its quotable text,
// the blocks of that text with their heading paths, and the units that can stand as quotations.
//
// The quotable text of HTML is its visible text: tags removed, entities decoded, script, style, navigation and hidden elements left out, preformatted text
// kept, other white space collapsed as a browser does, one line for a list item or a table row, an empty line between paragraphs. That of Markdown and plain
// text is the file's own bytes (unpacked, if it was compressed), of which the blocks are ranges. That of a PDF is plain text that [ReadPDF] has read from it.
//
// Everything here is pure: the same bytes give the same document. Whoever changes what comes out raises [Version].
package document
