// Package catalog answers "what is there?": models, the endpoints that serve them, hardware, limits, and prices with their dates. It is data and look-up, nothing else:
// what ships with the program, what was refreshed from a data package, and what an operator overrides, one laid over the other.
package catalog
