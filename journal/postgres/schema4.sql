-- restored says that the journal was restored from a dump, and whether it is in use since.
create table restored (one boolean primary key default true check (one), id text not null, settled boolean not null);
