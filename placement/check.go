package placement

// Check says what is wrong among contracts, each of which is right by itself.
func Check(all []Contract) Faults {
	var f Faults
	return f.sorted()
}
