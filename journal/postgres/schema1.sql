create table head (one boolean primary key default true check (one), pos bigint not null, stream bigint not null, upload bigint not null);
insert into head values (true, 0, 0, 0);
create table lease (epoch bigint primary key, node text not null, spec text not null, taken bigint not null, until bigint not null);
create table stream (id bigint primary key, tenant text not null, kind text not null, name text not null, seq bigint not null, sum bytea not null) with (fillfactor = 70);
create unique index stream_name on stream (tenant, kind, name);
create table event (pos bigint primary key, stream bigint not null, seq bigint not null, record bytea not null, checksum bytea not null);
create unique index event_seq on event (stream, seq);
create table done (id text primary key, seq bigint not null, pos bigint not null, event text not null, time bigint not null);
create index done_time on done using brin (time);
create table run (id bigint primary key, tenant text not null, name text not null, root text not null, parent text not null, idem text not null,
  agent text not null, spec text not null);
create sequence lease_epoch;
create unique index run_name on run (tenant, name);
create index run_root on run (tenant, root);
create index run_top on run (tenant, id) where parent = '';
create unique index run_idem on run (tenant, idem) where idem <> '';
create table work (id bigint primary key, tenant text not null, root text not null, priority int not null, cloud text not null, region text not null, labels text[] not null,
  status text not null, waits text not null, wait text not null, body text not null, node text not null, epoch bigint not null, abandoned boolean not null, seq bigint not null,
  inbox bigint not null, consumed bigint not null, until bigint not null, wake bigint not null, updated bigint not null) with (fillfactor = 60);
create index work_ready on work (tenant, root, priority, id) where status = 'ready';
create index work_running on work (epoch) where status = 'running';
create index work_wake on work (wake) where wake > 0;
create index work_waits on work (waits, tenant) where waits in ('person', 'interrupted');
create table inbox (run bigint not null, seq bigint not null, kind text not null, sender text not null, body bytea not null, primary key (run, seq));
create unique index inbox_once on inbox (run, kind, sender);
create table served (tenant text not null, root text not null, tick bigint not null, primary key (tenant, root));
create sequence served_tick;
create table secret (tenant text not null, subject text not null, key bytea not null, primary key (tenant, subject));
create table blob (tenant text not null, id text not null, subject text not null, upload bigint not null, size bigint not null, pinned boolean not null, created bigint not null, primary key (tenant, id));
create table chunk (upload bigint not null, n bigint not null, data bytea not null, created bigint not null, primary key (upload, n));
alter table chunk alter column data set storage external;

-- clock is the store's time in microseconds.
create function clock() returns bigint language sql volatile as $$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint $$;

-- refusal is the answer to a caller that fails.
create function refusal(kind text, msg text) returns jsonb language sql immutable as $$ select jsonb_build_object('kind', kind, 'msg', msg) $$;

-- claim_row is a claimed run as a node is told of it.
create function claim_row(w work) returns jsonb language sql stable as $$
  select jsonb_build_object('id', w.id, 'spec', r.spec, 'seq', s.seq, 'sum', encode(s.sum, 'hex'), 'inbox', w.inbox, 'consumed', w.consumed, 'left', w.abandoned)
  from run r join stream s using (id) where r.id = w.id
$$;

-- check_one says why a mutation cannot happen, or null. It changes nothing.
create function check_one(m jsonb, p_epoch bigint, p_live boolean) returns jsonb language plpgsql as $$
declare
  v_id text := m->>'id'; v_tenant text := m->>'t'; v_seq bigint; v_work work; v_x jsonb; v_name text; v_known bigint;
begin
  if (m->>'ep')::bigint <> 0 and ((m->>'ep')::bigint <> p_epoch or not p_live) then
    return refusal('conflict', format('commit %s: lease %s is over; this node holds lease %s', v_id, m->>'ep', p_epoch));
  end if;
  if m->>'k' <> '' then
    select coalesce(max(seq), 0) into v_seq from stream where tenant = v_tenant and kind = m->>'k' and name = m->>'n';
    if (m->>'checked')::boolean and v_seq <> (m->>'x')::bigint then
      return refusal('conflict', format('commit %s: %s/%s/%s is at %s, not at %s as expected: read it again', v_id, v_tenant, m->>'k', m->>'n', v_seq, m->>'x'));
    end if;
    if (m->>'own')::boolean then
      select w.* into v_work from stream s join work w using (id) where s.tenant = v_tenant and s.kind = 'run' and s.name = m->>'n';
      if not found then
        return refusal('not_found', format('commit %s: there is no run %s', v_id, m->>'n'));
      end if;
      if v_work.status = 'running' and (m->>'ep')::bigint <> v_work.epoch then
        return refusal('conflict', format('commit %s: run %s belongs to lease %s of node %s, not to lease %s', v_id, m->>'n', v_work.epoch, v_work.node, m->>'ep'));
      end if;
      if (m->>'consume')::bigint > v_work.inbox then
        return refusal('invalid', format('commit %s: the inbox of run %s ends at %s, before %s', v_id, m->>'n', v_work.inbox, m->>'consume'));
      end if;
      if m->'status'->>'status' = 'parked' and v_work.inbox > (m->'status'->>'seen')::bigint then
        return refusal('conflict', format('commit %s: run %s cannot park: its inbox has moved to %s, past %s', v_id, m->>'n', v_work.inbox, m->'status'->>'seen'));
      end if;
    end if;
  end if;
  for v_x in select * from jsonb_array_elements(m->'put') loop
    perform 1 from stream s join work w using (id) where s.tenant = v_tenant and s.kind = 'run' and s.name = v_x->>'to';
    if not found then
      return refusal('not_found', format('commit %s: there is no run %s to put a message for', v_id, v_x->>'to'));
    end if;
  end loop;
  for v_x in select * from jsonb_array_elements(m->'create') loop
    perform 1 from stream where tenant = v_x->>'t' and kind = 'run' and name = v_x->>'n';
    if found then
      return refusal('conflict', format('commit %s: there is a run %s already', v_id, v_x->>'n'));
    end if;
    if v_x->>'idem' <> '' then
      select name into v_name from run where tenant = v_x->>'t' and idem = v_x->>'idem';
      if found then
        return refusal('conflict', format('commit %s: the idempotency key %s belongs to run %s', v_id, to_json(v_x->>'idem'), v_name));
      end if;
    end if;
  end loop;
  for v_name in select * from jsonb_array_elements_text(m->'pin') loop
    perform 1 from blob where tenant = v_tenant and id = v_name;
    if not found then
      return refusal('not_found', format('commit %s: there is no complete blob %s', v_id, v_name));
    end if;
  end loop;
  return null;
end $$;

-- commit_batch applies mutations one after the other, each whole or not at all, and gives for each a receipt or a refusal. The row of the head is locked from the
-- beginning, so that batches of all nodes follow each other and positions are dense and in the order of commits; it is one statement, so the lock is never held over a
-- client's round trip. What it made ready is claimed for up to p_want workers of this node, if nothing older is ready.
create function commit_batch(p_node text, p_epoch bigint, p_now bigint, p_muts jsonb, p_recs bytea[], p_sums bytea[], p_bodies bytea[],
  p_want int, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[], p_notify boolean) returns jsonb language plpgsql
  set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set jit = off as $$
declare
  v_pos bigint; v_stream bigint; v_pos0 bigint; v_live boolean; v_busy boolean; m jsonb; x jsonb; st jsonb; v_refused jsonb; v_out jsonb[] := '{}'; v_done done;
  v_i int; v_n int; v_sid bigint; v_seq bigint; v_event text; v_work work; v_ready bigint[] := '{}'; v_claims jsonb[] := '{}'; v_urgent jsonb[] := '{}'; v_tmp bigint; v_left int;
begin
  select pos, stream into v_pos, v_stream from head for update;
  v_pos0 := v_pos;
  v_live := exists (select 1 from lease where epoch = p_epoch and until > clock());
  v_busy := exists (select 1 from work where status = 'ready');
  for m in select * from jsonb_array_elements(p_muts) loop
    select * into v_done from done where id = m->>'id';
    if found then
      v_out := array_append(v_out, jsonb_build_object('seq', v_done.seq, 'pos', v_done.pos, 'event', v_done.event, 'time', v_done.time, 'repeated', true));
      continue;
    end if;
    v_refused := check_one(m, p_epoch, v_live);
    if v_refused is not null then
      v_out := array_append(v_out, v_refused);
      continue;
    end if;
    v_seq := (m->>'x')::bigint;
    v_event := '';
    v_i := (m->>'at')::int;
    v_n := (m->>'ev')::int;
    if v_n > 0 then
      perform 1 from stream where tenant = m->>'t' and kind = m->>'k' and name = m->>'n' and seq > 0 and sum <> decode(m->>'prev', 'hex');
      if found then -- a node that remembers what a failover has lost: it is to read the stream again
        raise exception 'the checksum of %/%/% is not what was read', m->>'t', m->>'k', m->>'n' using errcode = 'serialization_failure';
      end if;
      update stream set seq = seq + v_n, sum = p_sums[v_i + v_n] where tenant = m->>'t' and kind = m->>'k' and name = m->>'n' returning id, seq into v_sid, v_seq;
      if not found then
        v_stream := v_stream + 1;
        v_sid := v_stream;
        v_seq := v_n;
        insert into stream values (v_sid, m->>'t', m->>'k', m->>'n', v_n, p_sums[v_i + v_n]);
      end if;
      insert into event select v_pos + g, v_sid, v_seq - v_n + g, p_recs[v_i + g], p_sums[v_i + g] from generate_series(1, v_n) g;
      v_pos := v_pos + v_n;
      v_event := encode(substring(p_sums[v_i + v_n] for 16), 'hex');
    end if;
    v_i := v_i + v_n;
    v_n := jsonb_array_length(m->'create');
    if v_n > 0 then
      insert into stream select v_stream + c.o, c.x->>'t', 'run', c.x->>'n', (c.x->>'ev')::int, case when (c.x->>'ev')::int > 0 then p_sums[v_i + (c.x->>'last')::int] else '' end
        from jsonb_array_elements(m->'create') with ordinality c(x, o);
      insert into run select v_stream + c.o, c.x->>'t', c.x->>'n', c.x->>'root', c.x->>'parent', c.x->>'idem', c.x->>'agent', c.x->>'spec'
        from jsonb_array_elements(m->'create') with ordinality c(x, o);
      insert into work select v_stream + c.o, c.x->>'t', c.x->>'root', (c.x->>'priority')::int, c.x->>'cloud', c.x->>'region',
          array(select jsonb_array_elements_text(c.x->'labels')), case when c.x->>'wake' <> '0' then 'parked' else 'ready' end,
          case when c.x->>'wake' <> '0' then 'timer' else '' end, case when c.x->>'wake' <> '0' then '{"kind":"timer"}' else '' end,
          c.x->>'body', '', 0, false, (c.x->>'ev')::int, 0, 0, 0, (c.x->>'wake')::bigint, p_now
        from jsonb_array_elements(m->'create') with ordinality c(x, o);
      insert into event select v_pos + (c.x->>'last')::int - (c.x->>'ev')::int + g, v_stream + c.o, g, p_recs[v_i + (c.x->>'last')::int - (c.x->>'ev')::int + g],
          p_sums[v_i + (c.x->>'last')::int - (c.x->>'ev')::int + g]
        from jsonb_array_elements(m->'create') with ordinality c(x, o), generate_series(1, (c.x->>'ev')::int) g;
      select v_ready || coalesce(array_agg(v_stream + c.o) filter (where c.x->>'wake' = '0'), '{}'), v_pos + max((c.x->>'last')::int) into v_ready, v_pos
        from jsonb_array_elements(m->'create') with ordinality c(x, o);
      v_stream := v_stream + v_n;
    end if;
    for x in select * from jsonb_array_elements(m->'put') loop
      select w.* into v_work from stream s join work w using (id) where s.tenant = m->>'t' and s.kind = 'run' and s.name = x->>'to';
      insert into inbox values (v_work.id, v_work.inbox + 1, x->>'kind', x->>'from', p_bodies[(x->>'b')::int]) on conflict (run, kind, sender) do nothing;
      if found then
        if v_work.status = 'parked' and ((x->>'urgent')::boolean or v_work.inbox + 1 >= v_work.until) then
          update work set inbox = inbox + 1, status = 'ready', waits = '', wait = '', until = 0, wake = 0, updated = p_now where id = v_work.id;
          v_ready := array_append(v_ready, v_work.id);
        else
          update work set inbox = inbox + 1 where id = v_work.id;
          if v_work.status = 'running' and (x->>'urgent')::boolean then
            v_urgent := array_append(v_urgent, jsonb_build_array(v_work.epoch, x->>'to'));
          end if;
        end if;
      end if;
    end loop;
    if (m->>'own')::boolean then
      select id into v_sid from stream where tenant = m->>'t' and kind = 'run' and name = m->>'n';
      st := m->'status';
      if st is null or st = 'null'::jsonb then
        update work set abandoned = false, seq = v_seq, consumed = greatest(consumed, (m->>'consume')::bigint), updated = p_now where id = v_sid;
      else
        update work set abandoned = false, seq = v_seq, consumed = greatest(consumed, (m->>'consume')::bigint), updated = p_now,
          status = st->>'status', waits = case when st->>'status' = 'parked' then st->>'waits' else '' end, wait = st->>'wait', body = st->>'body',
          until = (st->>'until')::bigint, wake = case when st->>'status' = 'parked' then (st->>'wake')::bigint else 0 end,
          epoch = case when st->>'status' = 'running' then (m->>'ep')::bigint else 0 end,
          node = case when st->>'status' = 'running' and (m->>'ep')::bigint <> 0 then p_node else '' end
        where id = v_sid;
        if st->>'status' = 'ready' then
          v_ready := array_append(v_ready, v_sid);
        end if;
      end if;
    end if;
    if m->'pin' <> '[]' then
      update blob set pinned = true where tenant = m->>'t' and id in (select jsonb_array_elements_text(m->'pin')) and not pinned;
    end if;
    insert into done values (m->>'id', v_seq, v_pos, v_event, p_now);
    v_out := array_append(v_out, jsonb_build_object('seq', v_seq, 'pos', v_pos, 'event', v_event, 'time', p_now));
  end loop;
  update head set pos = v_pos, stream = v_stream;
  v_left := cardinality(v_ready);
  if p_want > 0 and v_live and not v_busy and v_left > 0 then
    for v_work in update work set status = 'running', node = p_node, epoch = p_epoch where id in (
        select id from work where id = any(v_ready) and status = 'ready' and (p_tenant = '' or tenant = p_tenant) and (p_root = '' or root = p_root)
          and cloud in ('', p_cloud) and region in ('', p_region) and labels <@ p_labels
        order by priority desc, id limit p_want) returning * loop
      v_claims := array_append(v_claims, claim_row(v_work));
      v_left := v_left - 1;
    end loop;
  end if;
  foreach x in array v_urgent loop
    if (x->>0)::bigint <> p_epoch then
      perform pg_notify('decouple', 'u ' || (x->>0) || ' ' || (x->>1));
    end if;
  end loop;
  if p_notify and (v_left > 0 or v_pos > v_pos0) then
    perform pg_notify('decouple', case when v_left > 0 then 'r' else 'e' end);
  end if;
  return jsonb_build_object('results', to_jsonb(v_out), 'claims', to_jsonb(v_claims), 'urgent', to_jsonb(v_urgent), 'ready', v_left, 'head', v_pos);
end $$;

-- claim_ready claims up to p_n ready runs for a node, in the order of fair shares.
create function claim_ready(p_node text, p_epoch bigint, p_n int, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[]) returns setof jsonb language plpgsql as $$
declare
  v_id bigint; v_work work;
begin
  perform 1 from lease where epoch = p_epoch and until > clock();
  if not found then
    return;
  end if;
  for v_id in
    with candidate as (
      select w.id, w.tenant, w.root, w.priority, row_number() over (partition by w.tenant, w.root, w.priority order by w.id) as turn
      from work w where w.status = 'ready' and (p_tenant = '' or w.tenant = p_tenant) and (p_root = '' or w.root = p_root)
        and w.cloud in ('', p_cloud) and w.region in ('', p_region) and w.labels <@ p_labels
    ), ordered as (
      select c.id, c.tenant, row_number() over (partition by c.tenant order by c.priority desc, c.turn, coalesce(s.tick, 0), c.id) as turn,
        (select coalesce(max(tick), 0) from served where served.tenant = c.tenant) as tenant_tick
      from candidate c left join served s on s.tenant = c.tenant and s.root = c.root where c.turn <= p_n
    ) select id from ordered order by turn, tenant_tick, tenant limit p_n * 2
  loop
    exit when p_n = 0;
    select * into v_work from work where id = v_id and status = 'ready' for update skip locked;
    if not found then
      continue;
    end if;
    update work set status = 'running', node = p_node, epoch = p_epoch where id = v_id returning * into v_work;
    insert into served values (v_work.tenant, v_work.root, nextval('served_tick')) on conflict (tenant, root) do update set tick = excluded.tick;
    p_n := p_n - 1;
    return next claim_row(v_work);
  end loop;
end $$;

-- free_left makes runs ready that a node whose lease has ended left running, and says how many.
create function free_left(p_now bigint) returns int language plpgsql as $$
declare v_n int;
begin
  with gone as (select w.id from work w left join lease l on l.epoch = w.epoch where w.status = 'running' and (l.epoch is null or l.until <= clock()) for update of w skip locked)
  update work set status = 'ready', waits = '', wait = '', node = '', epoch = 0, abandoned = true, updated = p_now from gone where work.id = gone.id;
  get diagnostics v_n = row_count;
  if v_n > 0 then
    perform pg_notify('decouple', 'r');
  end if;
  return v_n;
end $$;

-- fire_timers makes parked runs ready whose time has come, and says how many.
create function fire_timers(p_now bigint) returns int language plpgsql as $$
declare v_n int;
begin
  with due as (select id from work where wake > 0 and wake <= clock() and status = 'parked' order by wake limit 1000 for update skip locked)
  update work set status = 'ready', waits = '', wait = '', until = 0, wake = 0, updated = p_now from due where work.id = due.id;
  get diagnostics v_n = row_count;
  if v_n > 0 then
    perform pg_notify('decouple', 'r');
  end if;
  return v_n;
end $$;
