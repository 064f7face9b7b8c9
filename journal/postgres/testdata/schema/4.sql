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
CREATE FUNCTION public.claim_runs(p_node text, p_epoch bigint, p_n integer, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[]) RETURNS TABLE(id bigint, spec text, seq bigint, sum bytea, inbox bigint, consumed bigint, abandoned boolean)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  v_ids bigint[];
begin
  if (select 1 from lease where epoch = p_epoch and until > clock()) is null or (select 1 from work w where w.status = 'ready' limit 1) is null then
    return;
  end if;
  with ordered as (
    select c.id, c.tenant, row_number() over (partition by c.tenant order by c.priority desc, c.turn, coalesce(s.tick, 0), c.id) as turn
    from ready_runs(p_n, p_tenant, p_root, p_cloud, p_region, p_labels) c left join served s on s.tenant = c.tenant and s.root = c.root
  ), last as (
    select t.tenant, (select coalesce(max(tick), 0) from served where served.tenant = t.tenant) as tick from (select distinct tenant from ordered) t
  ) select array_agg(q.id) into v_ids from (select o.id from ordered o join last on last.tenant = o.tenant order by o.turn, last.tick, o.tenant limit p_n * 2) q;
  return query
    with free as (
      select w.id, n.o from unnest(v_ids) with ordinality n(id, o) join work w on w.id = n.id where w.status = 'ready' order by n.o limit p_n for update of w skip locked
    ), mine as (
      update work w set status = 'running', node = p_node, epoch = p_epoch from free where w.id = free.id
        returning w.id, w.tenant, w.root, w.inbox, w.consumed, w.abandoned, free.o
    ), ticked as ( -- in one order, so that two nodes do not wait for each other
      insert into served select t.tenant, t.root, nextval('served_tick') from (select distinct m.tenant, m.root from mine m order by 1, 2) t
        on conflict (tenant, root) do update set tick = excluded.tick
    ) select m.id, r.spec, s.seq, s.sum, m.inbox, m.consumed, m.abandoned from mine m join run r on r.id = m.id join stream s on s.id = m.id order by m.o;
end $$;
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
CREATE FUNCTION public.commit_set(p_node text, p_epoch bigint, p_now bigint, m_id text[], m_tenant text[], m_kind text[], m_name text[], m_at bigint[], m_checked boolean[], m_own boolean[], m_epoch bigint[], m_events integer[], m_all integer[], m_prev bytea[], m_sum bytea[], m_consume bigint[], m_status text[], m_waits text[], m_wait text[], m_body text[], m_seen bigint[], m_until bigint[], m_wake bigint[], e_m integer[], e_c integer[], e_seq bigint[], e_rec bytea[], e_sum bytea[], c_m integer[], c_tenant text[], c_name text[], c_root text[], c_parent text[], c_idem text[], c_agent text[], c_priority integer[], c_cloud text[], c_region text[], c_labels text[], c_spec text[], c_wake bigint[], c_events integer[], c_sum bytea[], p_m integer[], p_of text[], p_to text[], p_kind text[], p_from text[], p_urgent boolean[], p_body bytea[], b_m integer[], b_tenant text[], b_id text[], p_want integer, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[], p_notify boolean, OUT o_taken boolean[], OUT o_pos bigint, OUT o_head bigint, OUT o_ready integer, OUT o_urgent text[], OUT k_id bigint[], OUT k_spec text[], OUT k_seq bigint[], OUT k_sum bytea[], OUT k_inbox bigint[], OUT k_consumed bigint[], OUT k_left boolean[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
  v_stream bigint; v_live boolean; v_direct boolean; v_new boolean; v_some boolean; v_yield boolean; v_busy boolean := true; v_i int; v_creates int := cardinality(c_m);
  v_puts int := cardinality(p_m); v_sid bigint[]; v_to bigint[]; v_bad int[] := '{}'; v_more int[]; v_ready bigint[] := '{}'; v_claimed bigint[] := '{}'; v_ids bigint[];
  v_others bigint[]; v_text text;
begin
  select pos, stream into o_pos, v_stream from head for update;
  o_head := o_pos;
  v_live := (select until from lease where epoch = p_epoch) > clock();
  -- What is good as the database stands.
  select array_agg(q.good), array_agg(q.sid), bool_or(q.sid = 0 and q.events > 0), bool_or(q.status = 'ready') into o_taken, v_sid, v_new, v_yield from (
    select coalesce(s.id, 0) as sid, m.events, m.status,
      (select 1 from done where done.id = m.id limit 1) is null
      and (m.epoch = 0 or m.epoch = p_epoch and coalesce(v_live, false))
      and (not m.checked or coalesce(s.seq, 0) = m.at)
      and (m.events = 0 or coalesce(s.seq, 0) = 0 or s.sum = m.prev)
      and (not m.own or coalesce((w.status <> 'running' or w.epoch = m.epoch) and m.consume <= w.inbox and (m.status <> 'parked' or w.inbox <= m.seen), false)) as good
    from unnest(m_id, m_tenant, m_kind, m_name, m_at, m_checked, m_own, m_epoch, m_events, m_prev, m_consume, m_status, m_seen) with ordinality
        m(id, tenant, kind, name, at, checked, own, epoch, events, prev, consume, status, seen, o)
      left join stream s on s.tenant = m.tenant and s.kind = m.kind and s.name = m.name
      left join work w on w.id = s.id and m.own
    order by m.o) q;
  if v_puts > 0 then
    select array_agg(q.id), coalesce(array_agg(q.m) filter (where q.id = 0), '{}') into v_to, v_bad from (
      select p.m, coalesce(s.id, 0) as id from unnest(p_m, p_of, p_to) with ordinality p(m, tenant, name, o)
        left join stream s on s.tenant = p.tenant and s.kind = 'run' and s.name = p.name order by p.o) q;
  end if;
  if v_creates > 0 then
    select coalesce(array_agg(c.m), '{}') into v_more from unnest(c_m, c_tenant, c_name, c_idem) c(m, tenant, name, idem)
      where (select 1 from stream s where s.tenant = c.tenant and s.kind = 'run' and s.name = c.name limit 1) is not null
        or c.idem <> '' and (select 1 from run r where r.tenant = c.tenant and r.idem = c.idem and r.idem <> '' limit 1) is not null;
    v_bad := v_bad || v_more;
  end if;
  if cardinality(b_m) > 0 then
    select coalesce(array_agg(b.m), '{}') into v_more from unnest(b_m, b_tenant, b_id) b(m, tenant, id)
      where (select 1 from blob where blob.tenant = b.tenant and blob.id = b.id limit 1) is null;
    v_bad := v_bad || v_more;
  end if;
  foreach v_i in array v_bad loop
    o_taken[v_i] := false;
  end loop;
  if not true = any(o_taken) then
    o_ready := 0;
    return;
  end if;
  -- What is made ready is claimed at once, while the workers of this node suffice for all of it and nothing older is ready.
  if p_want > 0 and coalesce(v_live, false) and (v_creates > 0 or v_puts > 0 or v_yield) then
    v_busy := (select 1 from work where status = 'ready' limit 1) is not null;
  end if;
  v_direct := not v_busy and not v_yield and p_want >= v_creates + v_puts;
  -- Events and the ends of their streams. New streams have the numbers after the present one, and the runs that are created those after them.
  if v_new then
    for v_i in 1 .. cardinality(m_id) loop
      if v_sid[v_i] = 0 and o_taken[v_i] and m_events[v_i] > 0 then
        v_stream := v_stream + 1;
        v_sid[v_i] := v_stream;
        insert into stream values (v_stream, m_tenant[v_i], m_kind[v_i], m_name[v_i], 0, '');
      end if;
    end loop;
  end if;
  if cardinality(e_m) > 0 then
    insert into event select o_pos + row_number() over (order by e.o), case when e.c > 0 then v_stream + e.c else v_sid[e.m] end, e.seq, e.rec, e.sum
      from unnest(e_m, e_c, e_seq, e_rec, e_sum) with ordinality e(m, c, seq, rec, sum, o) where o_taken[e.m];
    get diagnostics v_i = row_count;
    o_head := o_pos + v_i;
    update stream s set seq = m.at + m.events, sum = m.sum from unnest(v_sid, o_taken, m_at, m_events, m_sum) m(id, taken, at, events, sum)
      where s.id = m.id and m.taken and m.events > 0;
  end if;
  -- The own runs.
  if true = any(m_own) then
    update work w set abandoned = false, seq = m.at + m.events, consumed = greatest(w.consumed, m.consume), updated = p_now,
        status = case m.status when '' then w.status else m.status end, body = case m.status when '' then w.body else m.body end,
        waits = case m.status when '' then w.waits when 'parked' then m.waits else '' end, wait = case m.status when '' then w.wait else m.wait end,
        until = case m.status when '' then w.until else m.until end, wake = case m.status when '' then w.wake when 'parked' then m.wake else 0 end,
        epoch = case m.status when '' then w.epoch when 'running' then m.epoch else 0 end,
        node = case when m.status = '' then w.node when m.status = 'running' and m.epoch <> 0 then p_node else '' end
      from unnest(v_sid, o_taken, m_own, m_epoch, m_at, m_events, m_consume, m_status, m_waits, m_wait, m_body, m_until, m_wake)
        m(id, taken, own, epoch, at, events, consume, status, waits, wait, body, until, wake)
      where w.id = m.id and m.taken and m.own;
    if v_yield then
      select coalesce(array_agg(m.id), '{}') into v_ready from unnest(v_sid, o_taken, m_own, m_status) m(id, taken, own, status) where m.taken and m.own and m.status = 'ready';
    end if;
  end if;
  -- New runs.
  if v_creates > 0 then
    insert into stream select v_stream + c.o, c.tenant, 'run', c.name, c.events, c.sum
      from unnest(c_m, c_tenant, c_name, c_events, c_sum) with ordinality c(m, tenant, name, events, sum, o) where o_taken[c.m];
    insert into run select v_stream + c.o, c.tenant, c.name, c.root, c.parent, c.idem, c.agent, c.spec
      from unnest(c_m, c_tenant, c_name, c_root, c_parent, c_idem, c_agent, c_spec) with ordinality c(m, tenant, name, root, parent, idem, agent, spec, o) where o_taken[c.m];
    with made as (
      insert into work select v_stream + c.o, c.tenant, c.root, c.priority, c.cloud, c.region, c.labels,
          case when c.wake <> 0 then 'parked' when c.mine then 'running' else 'ready' end, case when c.wake <> 0 then 'timer' else '' end,
          case when c.wake <> 0 then '{"kind":"timer"}' else '' end, '{}', case when c.mine then p_node else '' end, case when c.mine then p_epoch else 0 end,
          false, c.events, 0, 0, 0, c.wake, p_now
        from (select n.*, v_direct and n.wake = 0 and (p_tenant = '' or n.tenant = p_tenant) and (p_root = '' or n.root = p_root)
            and n.cloud in ('', p_cloud) and n.region in ('', p_region) and n.labels <@ p_labels as mine
          from (select x.m, x.tenant, x.root, x.priority, x.cloud, x.region, x.labels::text[] as labels, x.wake, x.events, x.o
            from unnest(c_m, c_tenant, c_root, c_priority, c_cloud, c_region, c_labels, c_wake, c_events) with ordinality
              x(m, tenant, root, priority, cloud, region, labels, wake, events, o)) n) c
        where o_taken[c.m] returning id, status)
    select v_ready || coalesce(array_agg(id) filter (where status = 'ready'), '{}'), coalesce(array_agg(id) filter (where status = 'running'), '{}')
      into v_ready, v_claimed from made;
    v_stream := v_stream + v_creates;
  end if;
  -- Messages, and the runs that they wake. An urgent one for a run at work is told to its node.
  if v_puts > 0 then
    perform 1 from work where id = any(v_to) order by id for update; -- timers and claims change them without the head
    with fresh as (
      select w.id, w.inbox + row_number() over (partition by w.id order by p.o) as seq, p.kind, p.sender, p.body, p.urgent
        from unnest(p_m, v_to, p_kind, p_from, p_urgent, p_body) with ordinality p(m, id, kind, sender, urgent, body, o) join work w on w.id = p.id
        where o_taken[p.m] and (select 1 from inbox i where i.run = p.id and i.kind = p.kind and i.sender = p.sender limit 1) is null),
    kept as (insert into inbox select id, seq, kind, sender, body from fresh),
    touched as (select id, max(seq) as inbox, bool_or(urgent) as urgent from fresh group by id),
    seen as (
      select t.id, t.inbox, w.status = 'parked' and (t.urgent or t.inbox >= w.until) as woken, w.status = 'running' and t.urgent as poked,
        v_direct and (p_tenant = '' or w.tenant = p_tenant) and (p_root = '' or w.root = p_root)
          and w.cloud in ('', p_cloud) and w.region in ('', p_region) and w.labels <@ p_labels as mine
      from touched t join work w on w.id = t.id),
    moved as (
      update work w set inbox = t.inbox, status = case when not t.woken then w.status when t.mine then 'running' else 'ready' end,
          waits = case when t.woken then '' else w.waits end, wait = case when t.woken then '' else w.wait end, until = case when t.woken then 0 else w.until end,
          wake = case when t.woken then 0 else w.wake end, updated = case when t.woken then p_now else w.updated end,
          epoch = case when t.woken and t.mine then p_epoch else w.epoch end, node = case when t.woken and t.mine then p_node else w.node end
        from seen t where w.id = t.id returning w.id, t.woken, t.mine, t.poked, w.epoch)
    select v_ready || coalesce(array_agg(id) filter (where woken and not mine), '{}'), v_claimed || coalesce(array_agg(id) filter (where woken and mine), '{}'),
      array_agg(id) filter (where poked), array_agg(epoch) filter (where poked) into v_ready, v_claimed, v_ids, v_others from moved;
    for v_i in 1 .. coalesce(cardinality(v_ids), 0) loop
      select v_others[v_i] || ' ' || name into v_text from run where id = v_ids[v_i];
      o_urgent := array_append(o_urgent, v_text);
      if v_others[v_i] <> p_epoch then
        perform pg_notify('decouple', 'u ' || v_text);
      end if;
    end loop;
  end if;
  if cardinality(b_m) > 0 then
    update blob set pinned = true from unnest(b_m, b_tenant, b_id) b(m, tenant, id) where o_taken[b.m] and blob.tenant = b.tenant and blob.id = b.id and not pinned;
  end if;
  insert into done select m.id, m.at + m.events, o_pos + m.upto, case when m.events > 0 then encode(substring(m.sum for 16), 'hex') else '' end, p_now
    from (select x.*, sum(case when x.taken then x.count else 0 end) over (order by x.o) as upto
      from unnest(m_id, o_taken, m_at, m_events, m_all, m_sum) with ordinality x(id, taken, at, events, count, sum, o)) m where m.taken;
  update head set pos = o_head, stream = v_stream;
  -- Where there are not workers enough, the highest priorities go first.
  o_ready := cardinality(v_ready);
  if not v_busy and not v_direct and o_ready > 0 then
    with mine as (
      update work set status = 'running', node = p_node, epoch = p_epoch where id in (
        select w.id from unnest(v_ready) n(id) join work w on w.id = n.id where (p_tenant = '' or w.tenant = p_tenant) and (p_root = '' or w.root = p_root)
          and w.cloud in ('', p_cloud) and w.region in ('', p_region) and w.labels <@ p_labels
        order by w.priority desc, w.id limit p_want) returning id)
    select coalesce(array_agg(id), '{}') into v_claimed from mine;
    o_ready := o_ready - cardinality(v_claimed);
  end if;
  if cardinality(v_claimed) > 0 then
    select array_agg(q.id), array_agg(q.spec), array_agg(q.seq), array_agg(q.sum), array_agg(q.inbox), array_agg(q.consumed), array_agg(q.abandoned)
      into k_id, k_spec, k_seq, k_sum, k_inbox, k_consumed, k_left from (
        select w.id, r.spec, s.seq, s.sum, w.inbox, w.consumed, w.abandoned from unnest(v_claimed) n(id) join work w on w.id = n.id join run r on r.id = n.id
          join stream s on s.id = n.id order by w.priority desc, w.id) q;
  end if;
  if p_notify and (o_ready > 0 or o_head > o_pos) then
    perform pg_notify('decouple', case when o_ready > 0 then 'r' else 'e' end);
  end if;
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
CREATE FUNCTION public.unread(p_tenants text[], p_names text[]) RETURNS TABLE(n bigint, seq bigint, kind text, sender text, body bytea)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query select k.n, i.seq, i.kind, i.sender, i.body from unnest(p_tenants, p_names) with ordinality k(tenant, name, n)
    join run r on r.tenant = k.tenant and r.name = k.name join work w on w.id = r.id join inbox i on i.run = r.id and i.seq > w.consumed order by k.n, i.seq;
end $$;
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
CREATE TABLE public.restored (
    one boolean DEFAULT true NOT NULL,
    id text NOT NULL,
    settled boolean NOT NULL,
    CONSTRAINT restored_one_check CHECK (one)
);
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
INSERT INTO public.blob VALUES ('local', '3390c5722700a3fb0ff342413998c68952f310bd22a995d6bc8b3d66cc3d63a1', '', 1, 500, true, 1796047667851760);
INSERT INTO public.chunk VALUES (1, 0, '\x6c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e6720', 1796047667842566);
INSERT INTO public.decouple_schema VALUES (4);
INSERT INTO public.done VALUES ('fixture-1', 0, 1, '', 1796047667621301);
INSERT INTO public.done VALUES ('c4', 0, 3, '', 1796047667855680);
INSERT INTO public.done VALUES ('c5', 2, 4, '90121cd65df3870b696580c15a1a29b2', 1796047667943558);
INSERT INTO public.done VALUES ('c6', 0, 4, '', 1796047667951486);
INSERT INTO public.done VALUES ('c7', 2, 6, '4ba4ca7fa461ef9fb4199b9426d5a4e8', 1796047667999903);
INSERT INTO public.event VALUES (1, 1, 1, '\x01056c6f63616c0372756e0161010d746573742e68617070656e656401eab6d3f3dddfb00600000000000009666978747572652d310130', '\x094ebce7c50ded4fb17f4e62883c4c4e625aec6236a9428b06dbd22c768bd729');
INSERT INTO public.event VALUES (2, 2, 1, '\x01056c6f63616c0372756e0162010d746573742e68617070656e6564018085f0f3dddfb0060000000000000263340130', '\xb098781f4c0605a38027ba95757e91594fc4847f31433c7f55910ef399f0051f');
INSERT INTO public.event VALUES (3, 3, 1, '\x01056c6f63616c0372756e0163010d746573742e68617070656e6564018085f0f3dddfb0060000000000000263340130', '\xc5211be6cc23f84f1ecc633bc7ff73fe70892b2be2edaebb9acde313dc1c433b');
INSERT INTO public.event VALUES (4, 2, 2, '\x01056c6f63616c0372756e0162020d746573742e68617070656e6564028ce2faf3dddfb006056167656e740162000000000263354b7b22626c6f62223a2233333930633537323237303061336662306666333432343133393938633638393532663331306264323261393935643662633862336436366363336436336131227d', '\x90121cd65df3870b696580c15a1a29b2737e0d70c9d3bcfffc791a7561be0093');
INSERT INTO public.event VALUES (5, 4, 1, '\x01056c6f63616c046e6f7465027031010d746573742e68617070656e656401bed281f4dddfb0060000000000000263370131', '\xe998a9803cacbec07000e3f77eeb99e59cf665e1b323134129b6b2af36866e2c');
INSERT INTO public.event VALUES (6, 4, 2, '\x01056c6f63616c046e6f7465027031020d746573742e68617070656e656401bed281f4dddfb0060000000000000263370132', '\x4ba4ca7fa461ef9fb4199b9426d5a4e834f2e55cb62159b51c4abf6b8380124b');
INSERT INTO public.head VALUES (true, 6, 4, 1);
INSERT INTO public.inbox VALUES (2, 1, 'note', 'a', '\x7b226e223a317d');
INSERT INTO public.lease VALUES (1, 'ng24uyf7n', '{"id":"ng24uyf7n","workers":4}', 1796047667603355, 1796047668006947);
INSERT INTO public.run VALUES (1, 'local', 'a', 'a', '', 'key', 'a', '{"run":{"id":"a","tenant":"local","root":"a","agent":"a","version":"v","labels":["x","y"],"site":{"cloud":"k","labels":["gpu"]},"priority":3,"deadline":"2030-01-02T03:04:05Z","idempotency_key":"key"},"label":"what is a?","created":1796047667621301}');
INSERT INTO public.run VALUES (2, 'local', 'b', 'b', '', '', 'a', '{"run":{"id":"b","tenant":"local","root":"b","agent":"a","version":"v"},"created":1796047667855680}');
INSERT INTO public.run VALUES (3, 'local', 'c', 'c', '', '', 'a', '{"run":{"id":"c","tenant":"local","root":"c","agent":"a","version":"v"},"created":1796047667855680}');
INSERT INTO public.secret VALUES ('local', '', '\xd5a0f38faea8608e7c2cbd81e7c9422043d37b31c9af0a55c057285d3d3d95d2');
INSERT INTO public.served VALUES ('local', 'b', 1);
INSERT INTO public.stream VALUES (1, 'local', 'run', 'a', 1, '\x094ebce7c50ded4fb17f4e62883c4c4e625aec6236a9428b06dbd22c768bd729');
INSERT INTO public.stream VALUES (3, 'local', 'run', 'c', 1, '\xc5211be6cc23f84f1ecc633bc7ff73fe70892b2be2edaebb9acde313dc1c433b');
INSERT INTO public.stream VALUES (2, 'local', 'run', 'b', 2, '\x90121cd65df3870b696580c15a1a29b2737e0d70c9d3bcfffc791a7561be0093');
INSERT INTO public.stream VALUES (4, 'local', 'note', 'p1', 2, '\x4ba4ca7fa461ef9fb4199b9426d5a4e834f2e55cb62159b51c4abf6b8380124b');
INSERT INTO public.work VALUES (1, 'local', 'a', 3, 'k', '', '{gpu}', 'ready', '', '', '{}', '', 0, false, 1, 0, 0, 0, 0, 1796047667621301);
INSERT INTO public.work VALUES (3, 'local', 'c', 0, '', '', '{}', 'ready', '', '', '{}', '', 0, false, 1, 0, 0, 0, 0, 1796047667855680);
INSERT INTO public.work VALUES (2, 'local', 'b', 0, '', '', '{}', 'parked', 'person', '{"kind":"person","for":"ada"}', '{"steps":2,"usage":{"tokens_in":5,"tokens_out":6,"cost":7}}', '', 0, false, 2, 1, 0, 9, 0, 1796047667943558);
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
ALTER TABLE ONLY public.restored
    ADD CONSTRAINT restored_pkey PRIMARY KEY (one);
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
