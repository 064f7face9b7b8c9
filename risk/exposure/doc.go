// Package exposure answers "what hangs on whom?": which labs, sellers, clouds, regions, accelerators, identity providers and networks stand behind the model calls of a customer, how
// concentrated they are, and what is lost when one of them is gone.
//
// [Assess] takes recorded calls, the catalog, and facts: who stands behind whom, dated and with a source (data/ancestors.yaml, over which a customer lays a file of their own). It closes the
// graph over them, so that two vendors with one ancestor are seen as what they are, and gives a [Report]: concentration by dimension, the loss when each node is removed, single points, and a
// grade for every vendor and every critical workload with the reason for each point.
//
// The room is pure: what was measured elsewhere, by drills and by parity evaluations, is handed in, and so is the time.
package exposure
