// Package engine answers "what happens next?": the agent loop, recursion, envelopes, cancelling and resuming.
//
// An agent is a fixed state machine, not replayed user code. [Apply] folds an event into a [State], [Next] says from a State alone what is to be done, and
// both are pure: time, randomness and the outside arrive inside events. One driver, [Engine], performs what Next asks for (call a model, call
// tools, spawn children, wait, end) and commits what came of it.
//
// A loop has one durable point where its tools have no effect: the model's answer, the tool results that it was given, the children it spawns, and
// the reservation for the call that follows are one event in one commit. Tools with effects get a commit of their own.
//
// A parked parent is a row in the journal. Its children put their results in its inbox, and the last of them makes it ready in the commit that
// ends it; workers are handed ready runs, they never look for them.
package engine
