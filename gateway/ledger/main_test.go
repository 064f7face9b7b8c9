package ledger_test

import (
	"fmt"
	"os"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

// TestMain lets the test binary be the process that is killed: "child DIR ROUND".
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "child" {
		if err := child(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", decouple.KindOf(err), err)
			os.Exit(1)
		}
		return
	}
	os.Exit(pgtest.Main(m))
}
