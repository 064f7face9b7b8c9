package tool

// Public is for tests.
var Public = public
