-- name: next_notice
-- How long until a notice is to be sent or a digest may be: milliseconds from now, null when neither is ahead.
-- $1 bigint: period of the digests, ms; null: there are none
select (extract(epoch from least(
        (select greatest(min(notice.due_at), now()) from exportbox.notice
            where notice.finished_at is null and not exists (select from exportbox.control where control.scope = 'delivery')
                and not exists (select from exportbox.pause where pause.scope in ('all', 'deliveries'))),
        to_timestamp((floor((extract(epoch from now()) - 30) * 1000 / $1::bigint) + 1) * $1::bigint / 1000 + 30)
    ) - now()) * 1000)::bigint as sleep_ms
