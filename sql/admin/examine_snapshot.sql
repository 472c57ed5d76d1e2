-- name: examine_snapshot
-- Who holds back vacuum on the job tables, and whether that is worth an alarm.
-- $1 bigint: alarm from this age on, ms
select snapshot.holder, snapshot.transactions, snapshot.alarm
from exportbox.oldest_snapshot(alarm_age => $1::bigint * interval '1 millisecond') as snapshot
