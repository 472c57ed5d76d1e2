-- The sandbox's aws_s3 and aws_commons: names, defaults and results as RDS documents them, on plain PostgreSQL. Run as a superuser.
--
-- The work is done by COPY (query) TO PROGRAM: the query runs as the caller, in the caller's transaction and snapshot. The price, which RDS
-- does not ask: the caller must be a member of pg_execute_server_program, and so must be trusted with the machine.
--
-- A program at the end of COPY sees the same end of input whether the query succeeded or was cancelled. So the first step only uploads parts,
-- and a second one, which runs only after the COPY has succeeded, makes them objects.

create schema aws_commons;
create schema aws_s3;
create schema aws_s3_sandbox;
comment on schema aws_s3 is 'The sandbox''s stand-in for the RDS extension aws_s3; not made by AWS.';

create type aws_commons._s3_uri_1 as (bucket text, file_path text, region text);

create function aws_commons.create_s3_uri(bucket text, file_path text, region text)
returns aws_commons._s3_uri_1
language sql immutable
as $$ select row(bucket, file_path, region)::aws_commons._s3_uri_1 $$;

create table aws_s3_sandbox.place (
    program text not null,
    results text not null,
    region text not null
);
comment on table aws_s3_sandbox.place is 'One row: the program behind COPY (quoted for the shell), where it leaves its results, the region it plays.';

-- What the program said about one export. Security definer, because reading files is a superuser's right; the token is a uuid and the
-- directory the sandbox's, so no other file can be named.
create function aws_s3_sandbox.result(token uuid)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select pg_read_file(place.results || '/' || token::text || '.json', 0, 16777216, true)::jsonb from aws_s3_sandbox.place
$$;

-- The command for one step: nothing but hexadecimal digits comes from outside. With exec no shell stands between the server and the program,
-- so the server waits for the program itself.
create function aws_s3_sandbox.command(step text, token uuid, bucket text, file_path text)
returns text
language sql stable
as $$
    select 'exec ' || place.program || ' s3-put ' || encode(convert_to(json_build_object(
        'step', step, 'token', token, 'bucket', bucket, 'key', file_path, 'region', place.region, 'results', place.results,
        'split_bytes', nullif(current_setting('aws_s3.split_bytes', true), '')::bigint)::text, 'UTF8'), 'hex')
    from aws_s3_sandbox.place
$$;

create function aws_s3.query_export_to_s3(
    query text, bucket text, file_path text, region text default null, options text default null, kms_key text default null,
    out rows_uploaded bigint, out files_uploaded bigint, out bytes_uploaded bigint)
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
    token uuid := gen_random_uuid();
    outcome jsonb;
begin
    if query is null or bucket is null or file_path is null then
        raise exception 'query, bucket and file_path must not be null' using errcode = 'null_value_not_allowed';
    end if;
    if region <> (select place.region from aws_s3_sandbox.place) then
        raise exception 'could not upload to Amazon S3' using errcode = 'system_error',
            detail = 'Amazon S3 client returned ''The bucket you are attempting to access must be addressed using the specified endpoint.''.';
    end if;
    begin
        -- The line ends keep a comment at the end of the query or the options from swallowing what follows.
        execute format(E'copy (%s\n) to program %L', query, aws_s3_sandbox.command('put', token, bucket, file_path))
            || coalesce(' with (' || nullif(btrim(options), '') || E'\n)', '');
        get diagnostics rows_uploaded = row_count;
        outcome := aws_s3_sandbox.result(token);
        execute format('copy (select where false) to program %L', aws_s3_sandbox.command('complete', token, bucket, file_path));
    exception when query_canceled or others then
        outcome := aws_s3_sandbox.result(token);
        if outcome ? 'uploads' then
            begin
                execute format('copy (select where false) to program %L', aws_s3_sandbox.command('abort', token, bucket, file_path));
            exception when others then
                null; -- the first error is the one to report
            end;
        end if;
        if sqlstate = '38000' and outcome ? 'error' then
            raise exception 'could not upload to Amazon S3' using errcode = 'system_error',
                detail = format('Amazon S3 client returned ''%s''.', outcome ->> 'error');
        end if;
        raise;
    end;
    files_uploaded := jsonb_array_length(outcome -> 'uploads');
    bytes_uploaded := (outcome ->> 'bytes')::bigint;
end
$$;

create function aws_s3.query_export_to_s3(
    query text, s3_info aws_commons._s3_uri_1, options text default null, kms_key text default null,
    out rows_uploaded bigint, out files_uploaded bigint, out bytes_uploaded bigint)
language plpgsql volatile
as $$
#variable_conflict use_variable
begin
    select exported.rows_uploaded, exported.files_uploaded, exported.bytes_uploaded
    into rows_uploaded, files_uploaded, bytes_uploaded
    from aws_s3.query_export_to_s3(query, s3_info.bucket, s3_info.file_path, s3_info.region, options, kms_key) as exported;
end
$$;

-- As on RDS, nobody has these rights until they are granted.
revoke all on all functions in schema aws_commons, aws_s3, aws_s3_sandbox from public;
