-- name: examine_server
-- What a server is, as this session sees it. Asked of the outbox's server and of the source.
select
    current_setting('server_version_num')::integer as version,
    to_regproc('aurora_version') is not null as is_aurora,
    pg_is_in_recovery() as is_standby,
    current_setting('transaction_read_only')::boolean as is_read_only,
    coalesce(current_setting('exportbox.direct', true) = 'on', false) as is_direct,
    (select pg_extension.extversion from pg_catalog.pg_extension where pg_extension.extname = 'aws_s3') as aws_s3,
    session_user::text as login,
    clock_timestamp() as now
