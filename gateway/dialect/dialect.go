// Package dialect answers "what do they say on the wire?": it translates between [decouple.Request] and [decouple.Answer] on one side and the bytes of five
// wire formats on the other: OpenAI Chat Completions and Responses, Anthropic Messages, Gemini generateContent and Amazon Bedrock Converse. It is pure: no
// socket, no clock. [Of] gives both sides of a format: its [Client] asks a server and reads what it answers, its [Server] reads what a caller asks and answers.
//
// # What goes through
//
// A request whose caller and server speak the same format is not translated. [SketchOf] tells in one pass what it asks for, [SetModel] and [AskUsage] change
// the few bytes that must differ, and a [Passage] or [UsageOf] looks over the answer: where its frames end, whether the model has begun, what was used, what
// went wrong. None of them decodes what it does not need.
//
// # What is translated
//
// Nothing is silently lost. A field that is not known, or that the other format cannot say, is Invalid and named in the caller's words. What may be left out,
// since it changes nothing in the answer, has the type leftOut in the struct of its format's request, or is named in the comment of Encode. Some things are
// carried as nearly as can be, and these are all of them: an effort of thinking and a budget of thinking are made each other (effort, budget); what the system
// says in the middle of a conversation goes to its beginning where there is no other place; an error that a tool reports is told in words to OpenAI's formats;
// texts that follow each other are joined in Chat; where Converse cannot forbid the use of tools, the earlier uses are told in words.
//
// A thought belongs to the maker in whose format it came, and only goes back to him. A caller who speaks another format is given a token in the place of its
// signature, and sends the thought back unharmed by sending that back (side.go). To any other maker it is left out.
//
// # What goes wrong
//
// What a server says went wrong is a [Fault], whether it came with an HTTP status, inside a 200 or in the middle of a stream. An answer that makes no sense (not
// JSON, cut off, empty) is an error of kind Unavailable: another try may bring a whole one.
//
// Servers differ in small ways, and the decoders accept what is unmistakable: content as a list of parts, arguments as an object, tool calls without index or
// id, "stop" where tools are called, error codes as numbers. What they accept is in the testdata folder, by format.
package dialect
