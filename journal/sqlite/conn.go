package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"decouple.dev/decouple"
	"modernc.org/sqlite"
)

// conn is one connection with its prepared statements, for one goroutine at a time. It speaks to the driver directly: database/sql
// would cost a third of each short statement.
type conn struct {
	c     driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
}

func openConn(dsn string) (*conn, error) {
	c, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]driver.Stmt{}}, nil
}

func (c *conn) stmt(query string) (driver.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.c.Prepare(query)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, query)
	}
	c.stmts[query] = s
	return s, nil
}

func (c *conn) bind(vals []driver.Value) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range vals {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

// exec runs a statement and says how many rows it changed.
func (c *conn) exec(query string, vals ...driver.Value) (int64, error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(vals))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// each calls fn for every row; the values are valid until the next row.
func (c *conn) each(query string, fn func(v []driver.Value) error, vals ...driver.Value) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(vals))
	if err != nil {
		return err
	}
	defer rows.Close()
	v := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}

// one gives the first row, or nil.
func (c *conn) one(query string, vals ...driver.Value) ([]driver.Value, error) {
	var out []driver.Value
	err := c.each(query, func(v []driver.Value) error {
		if out == nil {
			out = append(out, v...)
		}
		return nil
	}, vals...)
	return out, err
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.Close()
	}
	return c.c.Close()
}

// rowSum is the checksum that a row carries in its last column: over the table's name and every other value, with their types.
func rowSum(table string, vals ...driver.Value) int64 {
	b := append(make([]byte, 0, 256), table...)
	for _, v := range vals {
		switch x := v.(type) {
		case nil:
			b = append(b, 'n')
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 'i'), uint64(x))
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(x))
		case string:
			b = binary.AppendUvarint(append(b, 's'), uint64(len(x)))
			b = append(b, x...)
		case []byte:
			b = binary.AppendUvarint(append(b, 'b'), uint64(len(x)))
			b = append(b, x...)
		default:
			b = append(b, '?')
		}
	}
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// withSum appends its checksum to a row.
func withSum(table string, vals ...driver.Value) []driver.Value {
	return append(vals, rowSum(table, vals...))
}

// checkRow takes the checksum off a row that was read and says whether it holds.
func checkRow(table string, v []driver.Value) ([]driver.Value, error) {
	vals := v[:len(v)-1]
	if sum, ok := v[len(v)-1].(int64); !ok || sum != rowSum(table, vals...) {
		return nil, decouple.Errorf(decouple.Internal, "the journal is damaged: a row of table %s (%s) does not match its checksum; run `decouple verify`", table, brief(vals))
	}
	return vals, nil
}

func brief(vals []driver.Value) string {
	s := ""
	for i, v := range vals[:min(2, len(vals))] {
		if i > 0 {
			s += ", "
		}
		if b, ok := v.([]byte); ok {
			v = fmt.Sprintf("%d bytes", len(b))
		}
		s += fmt.Sprint(v)
	}
	return s
}

// str and num read a value of a row whose checksum held.
func str(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func num(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func raw(v driver.Value) []byte {
	b, _ := v.([]byte)
	return append([]byte(nil), b...)
}
