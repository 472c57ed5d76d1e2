-- name: record_drain
-- How this drain ended, for who asks the health view.
-- $1 bigint: jobs claimed
-- $2 bigint: exports stored
-- $3 bigint: mails accepted
-- $4 bigint: jobs that died
-- $5 bigint: due jobs left
-- $6 boolean: a wrong setting holds some up
-- $7 bigint: its longest runtime, ms, null for no limit
-- $8 int: most exports at once over all processes, null for no limit
insert into exportbox.last_drain (ended, claimed, exported, mailed, dead, due_left, max_runtime, source_slots)
values (
    case when $6::boolean then 'on_hold' when $5::bigint > 0 then 'budget' when $4::bigint > 0 then 'dead' else 'drained' end,
    $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $7::bigint * interval '1 millisecond', $8::int)
on conflict (only_one) do update
set ended_at = excluded.ended_at, ended = excluded.ended, claimed = excluded.claimed, exported = excluded.exported,
    mailed = excluded.mailed, dead = excluded.dead, due_left = excluded.due_left,
    max_runtime = excluded.max_runtime, source_slots = excluded.source_slots
