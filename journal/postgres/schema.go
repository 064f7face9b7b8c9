package postgres

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
)

// migrations take a database forward, one version each; entry 0 makes version 1. They are never changed once released.
var migrations = [...]string{schema1, schema2, schema3, schema4}

//go:embed schema1.sql
var schema1 string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

//go:embed schema4.sql
var schema4 string

// lockKey names the advisory lock that migrations are done under: "decouple" as a number.
const lockKey = 0x6465636f75706c65

// oldest is the oldest server that this program works with.
const oldest = 150000

// migrate brings the schema to the newest version. Many nodes may do so at once; a newer schema than this program knows is refused.
func migrate(ctx context.Context, c *pgx.Conn) error {
	var server int
	if err := c.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&server); err != nil {
		return err
	}
	if server < oldest {
		return decouple.Errorf(decouple.Invalid, "the server is PostgreSQL %d, and the journal needs 15 or newer", server/10000)
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "create table if not exists decouple_schema (version int not null)"); err != nil {
			return err
		}
		have, err := version(ctx, tx)
		if err != nil {
			return err
		}
		if have > len(migrations) {
			return decouple.Errorf(decouple.Invalid, "the journal has schema version %d and this program knows up to %d: use a newer decouple", have, len(migrations))
		}
		for n := have; n < len(migrations); n++ {
			// The simple protocol runs several statements.
			if _, err := tx.Exec(ctx, migrations[n], pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("migrating the journal to schema version %d: %w", n+1, err)
			}
		}
		if _, err := tx.Exec(ctx, "delete from decouple_schema"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "insert into decouple_schema values ($1)", len(migrations))
		return err
	})
}

// querier is a connection, a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version is the schema's version, 0 if there is none.
func version(ctx context.Context, q querier) (int, error) {
	var n int
	err := q.QueryRow(ctx, "select coalesce(max(version), 0) from decouple_schema").Scan(&n)
	return n, err
}
