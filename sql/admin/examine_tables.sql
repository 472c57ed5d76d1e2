-- name: examine_tables
-- Whether autovacuum looks after the job tables, and what it has left.
select
    pg_class.relname::text as name,
    current_setting('autovacuum')::boolean and coalesce((
        select options.option_value::boolean
        from pg_options_to_table(pg_class.reloptions) as options
        where options.option_name = 'autovacuum_enabled'), true) as is_vacuumed,
    pg_stat_get_live_tuples(pg_class.oid) as live_rows,
    pg_stat_get_dead_tuples(pg_class.oid) as dead_rows
from pg_catalog.pg_class
where pg_class.relnamespace = to_regnamespace('exportbox') and pg_class.relkind = 'r'
order by pg_class.relname
