-- Claims look at few rows however many are ready: the index leads from tenant to priority to tree to run, and each step skips to the next value.
drop index work_ready;
create index work_ready on work (tenant, priority desc, root, id) where status = 'ready';
create index served_tenant on served (tenant, tick);

-- ready_roots gives up to p_many trees of a tenant with runs ready at a priority, from a place in their order on and then from its beginning: whoever begins at
-- a place by chance leaves none out for ever.
create function ready_roots(p_tenant text, p_priority int, p_from text, p_many int) returns setof text language plpgsql stable as $$
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

-- ready_runs gives runs that may go first, at least p_n if there are so many: of each tenant, by priority, of each tree the oldest.
create function ready_runs(p_n int, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[])
  returns table (id bigint, tenant text, root text, priority int, turn bigint) language plpgsql stable as $$
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

-- claim_ready claims up to p_n ready runs for a node, in the order of fair shares.
create or replace function claim_ready(p_node text, p_epoch bigint, p_n int, p_tenant text, p_root text, p_cloud text, p_region text, p_labels text[]) returns setof jsonb language plpgsql as $$
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
