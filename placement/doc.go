// Package placement answers "where may it go?": contracts as data, compiled to policies, and a ruling for a need and a place, always with the clauses that decided.
//
// A clause is dated twice: when its term holds (Valid), and when it was known (Known). So it can be asked what was allowed on a day, and what was thought to be
// allowed by those who knew only what was known on another one.
//
// The room is pure: a book of contracts, a moment and a need give a ruling. Who keeps the books, and who asks, are other rooms. Bottom-up:
//
//   - [Parse] and [Read] make a [Contract] of a YAML file, or say everything that is wrong with it, with file, line and remedy. docs/contracts.md is the reference of the format.
//   - [Check] says what is wrong among contracts: clauses that contradict or shadow one another, waivers of nothing.
//   - A [Book] is versions of contracts, each with the time at which it came into the book (Entered, Withdrawn), and [SignOff]s that hold for everybody.
//   - [Compile] makes the [Policy] of a [Moment]: the clauses that hold, as known, each reading a policy of Cedar. [Policy.Until] says when it is to be compiled anew;
//     [Policy.Cedar] shows it.
//   - [Policy.Judge] gives the [Ruling] of a [Need] at a [Place]. It remembers; it is safe for concurrent use; the ruling's lists are not to be changed.
//   - [Policy.Shares], [Policy.Commitments] and [Policy.RevShares] are what Cedar cannot say: [Share.State], [Commitment.Burn] and [RevShare.Owed] are their figures for given sums.
//     They never deny: the router may prefer what keeps them.
//
// What a ruling is: every clause that matches gives its reading here. Readings of one clause that differ make it disputed, unless a person has signed it off. A denial beats a dispute, which
// beats unknown, which beats allow. Unknown is where clauses bind the lab, the model or the vendor, and none of them speaks of the class. A place of open weights is free of
// its lab's terms (the kinds of hosts and licences that bind a lab); a customer's own permit and forbid bind it unless they say `open: not`. Residency, no_training, allowlist and subprocessor_notice
// deny what is not known of a place, and so does a forbid that binds labels.
//
// Need.Signed and SignOff.Clause take the id of a citation (contract/clause). A sign-off settles a dispute, or what is unknown; it does not lift a denial: that takes a waiver in a contract.
//
// Facts of places that clauses read: training (no), retires (2026-12-01), subprocessor, and whatever a clause asks for by `fact` or `requires`. They are the place's own, or what a contract's `facts`
// promise of it.
package placement
