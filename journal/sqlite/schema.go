package sqlite

import (
	"fmt"

	"decouple.dev/decouple"
)

// migrations take a database forward, one version each; entry 0 makes version 1. They are never changed once released.
var migrations = [...]string{`
create table meta (key text primary key, value text not null, sum integer not null) without rowid;
create table lease (epoch integer primary key, node text not null, taken integer not null, sum integer not null);
create table stream (id integer primary key, tenant text not null, kind text not null, name text not null, sum integer not null);
create unique index stream_name on stream (tenant, kind, name);
create table event (pos integer primary key, stream integer not null, seq integer not null, record blob not null, checksum blob not null);
create unique index event_seq on event (stream, seq);
create table done (id text primary key, seq integer not null, pos integer not null, event text not null, time integer not null, sum integer not null) without rowid;
create table run (id integer primary key, tenant text not null, root text not null, parent text not null, idem text not null, spec text not null, sum integer not null);
create index run_root on run (tenant, root);
create index run_top on run (tenant, id) where parent = '';
create unique index run_idem on run (tenant, idem) where idem <> '';
create table work (id integer primary key, status text not null, wake integer not null, body text not null, sum integer not null);
create index work_live on work (status) where status in ('ready', 'running');
create index work_timer on work (wake) where wake > 0;
create table inbox (run integer not null, seq integer not null, kind text not null, sender text not null, body blob not null, sum integer not null, primary key (run, seq)) without rowid;
create unique index inbox_once on inbox (run, kind, sender);
create table secret (tenant text not null, subject text not null, key blob not null, sum integer not null, primary key (tenant, subject)) without rowid;
create table blob (tenant text not null, id text not null, subject text not null, upload integer not null, size integer not null, pinned integer not null, created integer not null, sum integer not null, primary key (tenant, id)) without rowid;
create table chunk (id integer primary key, upload integer not null, n integer not null, data blob not null, sum integer not null);
create unique index chunk_upload on chunk (upload, n);
`}

// migrate brings the schema to the newest version; a newer one than this program knows is refused.
func migrate(c *conn) error {
	v, err := c.one("pragma user_version")
	if err != nil {
		return err
	}
	have := int(num(v[0]))
	if have > len(migrations) {
		return decouple.Errorf(decouple.Invalid, "the journal has schema version %d and this program knows up to %d: use a newer decouple", have, len(migrations))
	}
	for n := have; n < len(migrations); n++ {
		if err := script(c, fmt.Sprintf("begin immediate; %s; pragma user_version = %d; commit;", migrations[n], n+1)); err != nil {
			return fmt.Errorf("migrating the journal to schema version %d: %w", n+1, err)
		}
	}
	return nil
}

// script runs several statements.
func script(c *conn, sql string) error {
	s, err := c.c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Close()
	//lint:ignore SA1019 the driver's plain form runs scripts
	_, err = s.Exec(nil)
	return err
}
