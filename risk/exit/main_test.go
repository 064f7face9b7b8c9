package exit_test

import (
	"os"
	"testing"

	"decouple.dev/decouple/journal/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
