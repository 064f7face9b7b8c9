SET check_function_bodies = false;
CREATE FUNCTION public.check_one(m jsonb, p_epoch bigint, p_live boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.claim_ready(p_node text, p_epoch bigint, p_n integer, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[]) RETURNS SETOF jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_id bigint; v_work work;
begin
  perform 1 from lease where epoch = p_epoch and until > clock();
  if not found then
    return;
  end if;
  for v_id in
    with ordered as (
      select c.id, c.tenant, row_number() over (partition by c.tenant order by c.priority desc, c.turn, coalesce(s.tick, 0), c.id) as turn
      from ready_runs(p_n, p_tenant, p_root, p_cloud, p_region, p_labels) c left join served s on s.tenant = c.tenant and s.root = c.root
    ), last as (
      select t.tenant, (select coalesce(max(tick), 0) from served where served.tenant = t.tenant) as tick from (select distinct tenant from ordered) t
    ) select o.id from ordered o join last on last.tenant = o.tenant order by o.turn, last.tick, o.tenant limit p_n * 2
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
CREATE TABLE public.work (
    id bigint NOT NULL,
    tenant text NOT NULL,
    root text NOT NULL,
    priority integer NOT NULL,
    cloud text NOT NULL,
    region text NOT NULL,
    labels text[] NOT NULL,
    status text NOT NULL,
    waits text NOT NULL,
    wait text NOT NULL,
    body text NOT NULL,
    node text NOT NULL,
    epoch bigint NOT NULL,
    abandoned boolean NOT NULL,
    seq bigint NOT NULL,
    inbox bigint NOT NULL,
    consumed bigint NOT NULL,
    until bigint NOT NULL,
    wake bigint NOT NULL,
    updated bigint NOT NULL
)
WITH (fillfactor='60');
CREATE FUNCTION public.claim_row(w public.work) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_object('id', w.id, 'spec', r.spec, 'seq', s.seq, 'sum', encode(s.sum, 'hex'), 'inbox', w.inbox, 'consumed', w.consumed, 'left', w.abandoned)
  from run r join stream s using (id) where r.id = w.id
$$;
CREATE FUNCTION public.clock() RETURNS bigint
    LANGUAGE sql
    AS $$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint $$;
CREATE FUNCTION public.commit_batch(p_node text, p_epoch bigint, p_now bigint, p_muts jsonb, p_recs bytea[], p_sums bytea[], p_bodies bytea[], p_want integer, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[], p_notify boolean) RETURNS jsonb
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
CREATE FUNCTION public.fire_timers(p_now bigint) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.free_left(p_now bigint) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.ready_roots(p_tenant text, p_priority integer, p_from text, p_many integer) RETURNS SETOF text
    LANGUAGE plpgsql STABLE
    AS $$
declare v_root text := p_from; v_n int := 0; v_wrapped boolean := false;
begin
  while v_n < p_many loop
    select root into v_root from work where status = 'ready' and tenant = p_tenant and priority = p_priority and root > v_root order by root limit 1;
    if v_root is null then
      exit when v_wrapped;
      v_wrapped := true;
      v_root := '';
      continue;
    end if;
    exit when v_wrapped and v_root > p_from;
    v_n := v_n + 1;
    return next v_root;
  end loop;
end $$;
CREATE FUNCTION public.ready_runs(p_n integer, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[]) RETURNS TABLE(id bigint, tenant text, root text, priority integer, turn bigint)
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v_tenant text := ''; v_priority int; v_from text := 'r' || substr(md5(random()::text), 1, 8); v_got int; v_n int;
begin
  loop
    if p_tenant <> '' then
      exit when v_tenant <> '';
      v_tenant := p_tenant;
    else
      select w.tenant into v_tenant from work w where w.status = 'ready' and w.tenant > v_tenant order by w.tenant limit 1;
      exit when v_tenant is null;
    end if;
    v_got := 0;
    select max(w.priority) into v_priority from work w where w.status = 'ready' and w.tenant = v_tenant;
    while v_priority is not null and v_got < p_n loop
      return query
        select x.id, v_tenant, r.root, v_priority, row_number() over (partition by r.root order by x.id)
        from (select p_root as root where p_root <> '' union all select q from ready_roots(v_tenant, v_priority, v_from, 64 + p_n) q where p_root = '') r
        cross join lateral (
          select w.id from work w where w.status = 'ready' and w.tenant = v_tenant and w.priority = v_priority and w.root = r.root
            and w.cloud in ('', p_cloud) and w.region in ('', p_region) and w.labels <@ p_labels
          order by w.id limit p_n) x;
      get diagnostics v_n = row_count;
      v_got := v_got + v_n;
      select max(w.priority) into v_priority from work w where w.status = 'ready' and w.tenant = v_tenant and w.priority < v_priority;
    end loop;
  end loop;
end $$;
CREATE FUNCTION public.refusal(kind text, msg text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$ select jsonb_build_object('kind', kind, 'msg', msg) $$;
CREATE TABLE public.blob (
    tenant text NOT NULL,
    id text NOT NULL,
    subject text NOT NULL,
    upload bigint NOT NULL,
    size bigint NOT NULL,
    pinned boolean NOT NULL,
    created bigint NOT NULL
);
CREATE TABLE public.chunk (
    upload bigint NOT NULL,
    n bigint NOT NULL,
    data bytea NOT NULL,
    created bigint NOT NULL
);
ALTER TABLE ONLY public.chunk ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE public.decouple_schema (
    version integer NOT NULL
);
CREATE TABLE public.done (
    id text NOT NULL,
    seq bigint NOT NULL,
    pos bigint NOT NULL,
    event text NOT NULL,
    "time" bigint NOT NULL
);
CREATE TABLE public.event (
    pos bigint NOT NULL,
    stream bigint NOT NULL,
    seq bigint NOT NULL,
    record bytea NOT NULL,
    checksum bytea NOT NULL
);
CREATE TABLE public.head (
    one boolean DEFAULT true NOT NULL,
    pos bigint NOT NULL,
    stream bigint NOT NULL,
    upload bigint NOT NULL,
    CONSTRAINT head_one_check CHECK (one)
);
CREATE TABLE public.inbox (
    run bigint NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    sender text NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE public.lease (
    epoch bigint NOT NULL,
    node text NOT NULL,
    spec text NOT NULL,
    taken bigint NOT NULL,
    until bigint NOT NULL
);
CREATE SEQUENCE public.lease_epoch
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.run (
    id bigint NOT NULL,
    tenant text NOT NULL,
    name text NOT NULL,
    root text NOT NULL,
    parent text NOT NULL,
    idem text NOT NULL,
    agent text NOT NULL,
    spec text NOT NULL
);
CREATE TABLE public.secret (
    tenant text NOT NULL,
    subject text NOT NULL,
    key bytea NOT NULL
);
CREATE TABLE public.served (
    tenant text NOT NULL,
    root text NOT NULL,
    tick bigint NOT NULL
);
CREATE SEQUENCE public.served_tick
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.stream (
    id bigint NOT NULL,
    tenant text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    seq bigint NOT NULL,
    sum bytea NOT NULL
)
WITH (fillfactor='70');
INSERT INTO public.blob VALUES ('local', '2a710eb13bf7c742b673a1d87cdc6d796c6cb6914b812250653dea1a2cf3d376', '', 1, 500, true, 1795529361222729);
INSERT INTO public.chunk VALUES (1, 0, '\x6c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e6720', 1795529361222204);
INSERT INTO public.decouple_schema VALUES (2);
INSERT INTO public.done VALUES ('fixture-1', 0, 1, '', 1795529361213969);
INSERT INTO public.done VALUES ('c2', 0, 3, '', 1795529361223282);
INSERT INTO public.done VALUES ('c3', 2, 4, '540f579d61ebe75265893df3507b850c', 1795529361229171);
INSERT INTO public.done VALUES ('c4', 0, 4, '', 1795529361231429);
INSERT INTO public.done VALUES ('c5', 2, 6, 'a33dbb10c649d96b29937c834b618ecf', 1795529361233246);
INSERT INTO public.event VALUES (1, 1, 1, '\x01056c6f63616c0372756e0161010d746573742e68617070656e656401a2a8929cc8c1b00600000000000009666978747572652d310130', '\x1640657667a6324ece2c63b9f25f6ceb23f6d35b2504bc9fe97c09cf97292331');
INSERT INTO public.event VALUES (2, 2, 1, '\x01056c6f63616c0372756e0162010d746573742e68617070656e656401e4b9939cc8c1b0060000000000000263320130', '\xcc5ba1d89be7d16f9c5db33fb2bd2f804a6c1bc3db9fe02c86ab3985a7e42bcd');
INSERT INTO public.event VALUES (3, 3, 1, '\x01056c6f63616c0372756e0163010d746573742e68617070656e656401e4b9939cc8c1b0060000000000000263320130', '\x7da6e63d62d67b7e34433cf7f013a286c10318686062d7355e69b70511d331c9');
INSERT INTO public.event VALUES (4, 2, 2, '\x01056c6f63616c0372756e0162020d746573742e68617070656e656402e695949cc8c1b006056167656e740162000000000263334b7b22626c6f62223a2232613731306562313362663763373432623637336131643837636463366437393663366362363931346238313232353036353364656131613263663364333736227d', '\x540f579d61ebe75265893df3507b850c46dac7adcfb8609cdc9dad5380a273a9');
INSERT INTO public.event VALUES (5, 4, 1, '\x01056c6f63616c046e6f7465027031010d746573742e68617070656e656401bcd5949cc8c1b0060000000000000263350131', '\x161c42bef6aece8113a199801c5a0519a189752f4b22455d37f1111863de53b8');
INSERT INTO public.event VALUES (6, 4, 2, '\x01056c6f63616c046e6f7465027031020d746573742e68617070656e656401bcd5949cc8c1b0060000000000000263350132', '\xa33dbb10c649d96b29937c834b618ecfb406dbb558c962980b3e31c4e8a93319');
INSERT INTO public.head VALUES (true, 6, 4, 1);
INSERT INTO public.inbox VALUES (2, 1, 'note', 'a', '\x7b226e223a317d');
INSERT INTO public.lease VALUES (1, 'nnsp2tp3w', '{"id":"nnsp2tp3w","workers":4}', 1795529361213444, 1795529361236802);
INSERT INTO public.run VALUES (1, 'local', 'a', 'a', '', 'key', 'a', '{"run":{"id":"a","tenant":"local","root":"a","agent":"a","version":"v","labels":["x","y"],"site":{"cloud":"k","labels":["gpu"]},"priority":3,"deadline":"2030-01-02T03:04:05Z","idempotency_key":"key"},"label":"what is a?","created":1795529361213969}');
INSERT INTO public.run VALUES (2, 'local', 'b', 'b', '', '', 'a', '{"run":{"id":"b","tenant":"local","root":"b","agent":"a","version":"v"},"created":1795529361223282}');
INSERT INTO public.run VALUES (3, 'local', 'c', 'c', '', '', 'a', '{"run":{"id":"c","tenant":"local","root":"c","agent":"a","version":"v"},"created":1795529361223282}');
INSERT INTO public.secret VALUES ('local', '', '\x7a510a20970525d05fc1fbd4807a013355baeb9bc12bf7456cbca5a25acd3b3d');
INSERT INTO public.served VALUES ('local', 'b', 1);
INSERT INTO public.stream VALUES (1, 'local', 'run', 'a', 1, '\x1640657667a6324ece2c63b9f25f6ceb23f6d35b2504bc9fe97c09cf97292331');
INSERT INTO public.stream VALUES (3, 'local', 'run', 'c', 1, '\x7da6e63d62d67b7e34433cf7f013a286c10318686062d7355e69b70511d331c9');
INSERT INTO public.stream VALUES (2, 'local', 'run', 'b', 2, '\x540f579d61ebe75265893df3507b850c46dac7adcfb8609cdc9dad5380a273a9');
INSERT INTO public.stream VALUES (4, 'local', 'note', 'p1', 2, '\xa33dbb10c649d96b29937c834b618ecfb406dbb558c962980b3e31c4e8a93319');
INSERT INTO public.work VALUES (1, 'local', 'a', 3, 'k', '', '{gpu}', 'ready', '', '', '{}', '', 0, false, 1, 0, 0, 0, 0, 1795529361213969);
INSERT INTO public.work VALUES (3, 'local', 'c', 0, '', '', '{}', 'ready', '', '', '{}', '', 0, false, 1, 0, 0, 0, 0, 1795529361223282);
INSERT INTO public.work VALUES (2, 'local', 'b', 0, '', '', '{}', 'parked', 'person', '{"kind":"person","for":"ada"}', '{"steps":2,"usage":{"tokens_in":5,"tokens_out":6,"cost":7}}', '', 0, false, 2, 1, 0, 9, 0, 1795529361229171);
SELECT pg_catalog.setval('public.lease_epoch', 1, true);
SELECT pg_catalog.setval('public.served_tick', 1, true);
ALTER TABLE ONLY public.blob
    ADD CONSTRAINT blob_pkey PRIMARY KEY (tenant, id);
ALTER TABLE ONLY public.chunk
    ADD CONSTRAINT chunk_pkey PRIMARY KEY (upload, n);
ALTER TABLE ONLY public.done
    ADD CONSTRAINT done_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (pos);
ALTER TABLE ONLY public.head
    ADD CONSTRAINT head_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (run, seq);
ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (epoch);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (tenant, subject);
ALTER TABLE ONLY public.served
    ADD CONSTRAINT served_pkey PRIMARY KEY (tenant, root);
ALTER TABLE ONLY public.stream
    ADD CONSTRAINT stream_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.work
    ADD CONSTRAINT work_pkey PRIMARY KEY (id);
CREATE INDEX done_time ON public.done USING brin ("time");
CREATE UNIQUE INDEX event_seq ON public.event USING btree (stream, seq);
CREATE UNIQUE INDEX inbox_once ON public.inbox USING btree (run, kind, sender);
CREATE UNIQUE INDEX run_idem ON public.run USING btree (tenant, idem) WHERE (idem <> ''::text);
CREATE UNIQUE INDEX run_name ON public.run USING btree (tenant, name);
CREATE INDEX run_root ON public.run USING btree (tenant, root);
CREATE INDEX run_top ON public.run USING btree (tenant, id) WHERE (parent = ''::text);
CREATE INDEX served_tenant ON public.served USING btree (tenant, tick);
CREATE UNIQUE INDEX stream_name ON public.stream USING btree (tenant, kind, name);
CREATE INDEX work_ready ON public.work USING btree (tenant, priority DESC, root, id) WHERE (status = 'ready'::text);
CREATE INDEX work_running ON public.work USING btree (epoch) WHERE (status = 'running'::text);
CREATE INDEX work_waits ON public.work USING btree (waits, tenant) WHERE (waits = ANY (ARRAY['person'::text, 'interrupted'::text]));
CREATE INDEX work_wake ON public.work USING btree (wake) WHERE (wake > 0);
