// Package placement answers "where may it go?": contracts as data, compiled to policies, and a ruling for a need and a place, always with the clauses that decided.
//
// A clause is dated twice: when its term holds (Valid), and when it was known (Known). So it can be asked what was allowed on a day, and what was thought to be
// allowed by those who knew only what was known on another one.
//
// The room is pure: a book of contracts, a moment and a need give a ruling. Who keeps the books, and who asks, are other rooms.
package placement
