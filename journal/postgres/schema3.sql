-- A batch is checked by a few joins and written by a few statements, however many commits are in it. Whatever commit_set does not take (a repeated commit, one that
-- fails, one that builds on another of its batch) goes to commit_batch, which looks at one after the other and gives the reason.

-- commit_set writes those of a batch that are good as the database stands, as if the changes of all own runs came first and all messages after them, and says which they
-- were. Arrays that begin with the same letter belong together: m are commits, e their events, c the runs they create, p their messages, b the blobs they pin; a number m or
-- c in them is a place in the arrays of that letter. No two commits may be of one stream, have one id, create one run or idempotency key, or send one message. The row of
-- the head is locked from the beginning, as in commit_batch. Scalar subqueries with a limit stand where exists would do, as they are never answered by reading a whole table.
create function commit_set(p_node text, p_epoch bigint, p_now bigint,
  m_id text[], m_tenant text[], m_kind text[], m_name text[], m_at bigint[], m_checked boolean[], m_own boolean[], m_epoch bigint[], m_events int[], m_all int[],
  m_prev bytea[], m_sum bytea[], m_consume bigint[], m_status text[], m_waits text[], m_wait text[], m_body text[], m_seen bigint[], m_until bigint[], m_wake bigint[],
  e_m int[], e_c int[], e_seq bigint[], e_rec bytea[], e_sum bytea[],
  c_m int[], c_tenant text[], c_name text[], c_root text[], c_parent text[], c_idem text[], c_agent text[], c_priority int[], c_cloud text[], c_region text[],
  c_labels text[], c_spec text[], c_wake bigint[], c_events int[], c_sum bytea[],
  p_m int[], p_of text[], p_to text[], p_kind text[], p_from text[], p_urgent boolean[], p_body bytea[],
  b_m int[], b_tenant text[], b_id text[],
  p_want int, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[], p_notify boolean,
  out o_taken boolean[], out o_pos bigint, out o_head bigint, out o_ready int, out o_urgent text[],
  out k_id bigint[], out k_spec text[], out k_seq bigint[], out k_sum bytea[], out k_inbox bigint[], out k_consumed bigint[], out k_left boolean[])
language plpgsql set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
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

-- claim_runs claims up to p_n ready runs for a node, in the order of fair shares: those that go first are looked for, and taken by one statement.
create function claim_runs(p_node text, p_epoch bigint, p_n int, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[])
  returns table (id bigint, spec text, seq bigint, sum bytea, inbox bigint, consumed bigint, abandoned boolean)
  language plpgsql set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
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

-- unread lists the messages of many inboxes that are not consumed; n is the inbox's place in the arrays.
create function unread(p_tenants text[], p_names text[]) returns table (n bigint, seq bigint, kind text, sender text, body bytea)
  language plpgsql stable set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
begin
  return query select k.n, i.seq, i.kind, i.sender, i.body from unnest(p_tenants, p_names) with ordinality k(tenant, name, n)
    join run r on r.tenant = k.tenant and r.name = k.name join work w on w.id = r.id join inbox i on i.run = r.id and i.seq > w.consumed order by k.n, i.seq;
end $$;
