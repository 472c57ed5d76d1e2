-- What a request must be, whatever it asks for: formats, addresses, plain values; and the sentence for each fault.

create function exportbox.is_copy_byte(value jsonb) returns boolean
language sql immutable parallel safe
return jsonb_typeof(value) = 'string' and octet_length(value #>> '{}') = 1 and value #>> '{}' not in (E'\n', E'\r');
comment on function exportbox.is_copy_byte(jsonb) is 'One single-byte character that COPY takes as delimiter, quote or escape.';

create function exportbox.is_copy_encoding(encoding text) returns boolean
language sql stable parallel safe
-- SQL_ASCII, encoding 0, means "as it is"; some encodings have a name but no conversion from this database's.
return pg_char_to_encoding(encoding) in (0, pg_char_to_encoding(getdatabaseencoding())) or exists (
        select from pg_catalog.pg_conversion
        where condefault and conforencoding = pg_char_to_encoding(getdatabaseencoding()) and contoencoding = pg_char_to_encoding(encoding));
comment on function exportbox.is_copy_encoding(text) is 'An encoding that COPY in this database can write.';

-- The program has the same table in src/format/table.rs, and a test compares the two.
create function exportbox.format_capabilities() returns table (
    name text,
    compressions text[],
    options text[],
    -- What COPY takes where the request does not say; null: the format has no such thing.
    delimiter text,
    quote text,
    null_text text,
    -- A delimiter that matches this is refused.
    wrong_delimiter text)
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    values
        -- "null" in quotes: without them it is no word, and a list with an unknown element refuses nothing.
        ('csv', '{none,gzip}'::text[], '{header,delimiter,"null",quote,escape,force_quote,encoding,formula_guard}'::text[], ',', '"', '', null),
        ('text', '{none,gzip}', '{delimiter,"null",encoding}', E'\t', null, '\N', '[\\.a-z0-9]'),
        ('jsonl', '{none,gzip}', '{}', null, null, null, null)
$$;
comment on function exportbox.format_capabilities() is 'Every format that a request may name, with what it may ask of it. Nothing else in the schema knows which formats there are.';

create function exportbox.one_of(words text[]) returns text
language sql immutable parallel safe
return concat_ws(' or ', nullif(array_to_string(words[:cardinality(words) - 1], ', '), ''), words[cardinality(words)]);
comment on function exportbox.one_of(text[]) is 'A list for a sentence: a, b or c.';

create function exportbox.check_format(format text, compression text, options jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    known record;
    name text;
    value jsonb;
    delimiter text;
    quote text;
    null_text text;
begin
    select f.* into known from exportbox.format_capabilities() as f where f.name = check_format.format;
    if not found then
        raise exception using errcode = 'EB020', message = format('unknown format "%s"', format),
            hint = format('Set format to %s.',
                (select exportbox.one_of(array_agg(f.name order by f.ordinality)) from exportbox.format_capabilities() with ordinality as f));
    end if;
    if compression <> all (known.compressions) then
        raise exception using errcode = 'EB021', message = format('unknown compression "%s"', compression),
            hint = format('Set compression to %s.', exportbox.one_of(known.compressions));
    end if;
    if jsonb_typeof(options) <> 'object' then
        raise exception using errcode = 'EB022', message = 'format_options must be a JSON object',
            hint = 'For example {"delimiter": ";", "header": false}.';
    end if;
    if options = '{}' then
        return true;
    end if;
    for name, value in select o.key, o.value from jsonb_each(options) as o loop
        if name <> all (known.options) then
            raise exception using errcode = 'EB022', message = format('format_options "%s" is not an option of format %s', name, format),
                hint = case when known.options = '{}' then format('Format %s takes no options.', format)
                    else 'Allowed: ' || array_to_string(known.options, ', ') || '.' end;
        end if;
        if (name in ('header', 'formula_guard') and jsonb_typeof(value) <> 'boolean')
            or (name in ('delimiter', 'quote', 'escape') and not exportbox.is_copy_byte(value))
            or (name = 'null' and (jsonb_typeof(value) <> 'string' or value #>> '{}' ~ E'[\n\r]'))
            or (name = 'encoding' and (jsonb_typeof(value) <> 'string' or not exportbox.is_copy_encoding(value #>> '{}')))
            or (name = 'force_quote' and value <> '"*"' and not coalesce(
                jsonb_typeof(value) = 'array' and jsonb_array_length(value) > 0
                and not jsonb_path_exists(value, '$[*] ? (@.type() != "string" || @ == "")')
                and (select count(distinct e) = count(*) from jsonb_array_elements(value) as e), false))
        then
            raise exception using errcode = 'EB022', message = format('format_options "%s" cannot be %s', name, value),
                hint = case
                    when name in ('header', 'formula_guard') then format('Set "%s" to true or false.', name)
                    when name in ('delimiter', 'quote', 'escape') then format('Set "%s" to one single-byte character, no line break.', name)
                    when name = 'null' then 'Set "null" to a string without line breaks.'
                    when name = 'encoding' then 'Set "encoding" to one that this database converts to, such as UTF8 or LATIN1.'
                    else 'Set "force_quote" to "*" or to a list of column names, each once.' end;
        end if;
    end loop;
    delimiter := coalesce(options ->> 'delimiter', known.delimiter);
    quote := coalesce(options ->> 'quote', known.quote);
    null_text := coalesce(options ->> 'null', known.null_text);
    if delimiter ~ known.wrong_delimiter then
        raise exception using errcode = 'EB022', message = format('format_options "delimiter" cannot be "%s" in format %s', delimiter, format),
            hint = 'Use a character other than backslash, full stop, lower-case letters and digits.';
    end if;
    if delimiter = quote then
        raise exception using errcode = 'EB022', message = 'format_options "delimiter" and "quote" are the same character',
            hint = 'Set one of them to another character.';
    end if;
    if strpos(null_text, delimiter) > 0 or strpos(null_text, quote) > 0 then
        raise exception using errcode = 'EB022', message = 'format_options "null" contains the delimiter or the quote character',
            hint = 'Set "null" to a string without them.';
    end if;
    return true;
end
$$;
comment on function exportbox.check_format(text, text, jsonb) is 'Refuse what COPY TO would refuse, while the application can still see it.';

create function exportbox.is_address(address text) returns boolean
language sql immutable parallel safe
-- SES takes ASCII local parts and domains in Punycode; display names belong to the mail, not to the address. A part of the domain has 63
-- characters at most: looked at apart, as a counted repetition would make the pattern fifteen times as slow.
return length(address) <= 254 and position('@' in address) <= 65
    and address ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$'
    and (length(address) <= 63 or split_part(address, '@', 2) !~ '[^.]{64}');
comment on function exportbox.is_address(text) is 'One plain address that mail servers take.';

create function exportbox.are_addresses(list text[]) returns boolean
language sql immutable parallel safe
return not exists (select from unnest(list) as r (address) where not exportbox.is_address(r.address));
comment on function exportbox.are_addresses(text[]) is 'A list of nothing but addresses.';

create function exportbox.are_plain_values(params jsonb) returns boolean
language sql immutable parallel safe
return not exists (select from jsonb_each(params) as p
    where p.key !~ '^[a-z_][a-z0-9_]{0,40}$' or jsonb_typeof(p.value) in ('object', 'array'));
comment on function exportbox.are_plain_values(jsonb) is 'What an ad-hoc query takes: names of parameters, and values without a structure of their own.';

-- One expression, which the planner writes into the statement that asks: a thousand requests are checked without a call for each. Hence words
-- in place of sentences, and no counted repetitions: a length is asked for by itself. Control characters by number: what a class names depends
-- on the database's locale.
create function exportbox.fault(request exportbox.outbox) returns text
language sql volatile
return case
    when num_nonnulls(request.report, request.query) <> 1 then 'report'
    when jsonb_typeof(request.params) <> 'object' then 'params'
    when request.report is null and not pg_has_role(request.requested_by, 'exportbox_adhoc', 'member') then 'adhoc' -- guard: queries of their own
    when request.query !~ '\S' then 'query'
    when request.report is null and not exportbox.are_plain_values(request.params) then 'values'
    when array_ndims(request.recipients) > 1 or array_position(request.recipients, null) is not null then 'recipients'
    when cardinality(request.recipients) > 50 then 'recipients_many'
    -- None, or a single right one, as most requests have: without a call.
    when not coalesce(case cardinality(request.recipients) when 0 then true when 1 then exportbox.is_address(request.recipients[1]) end, false)
        and not exportbox.are_addresses(request.recipients) then 'address' -- guard: addresses
    when (request.format <> 'csv' or request.compression <> 'none' or request.format_options <> '{}')
        and not exportbox.check_format(request.format, request.compression, request.format_options) then 'format'
    when request.filename is not null and (length(request.filename) not between 1 and 180 or request.filename ~ '[/\\\x01-\x1f\x7f-\x9f]'
        or request.filename ~ '^(\.+|\s*)$') then 'filename'
    when length(request.idempotency_key) not between 1 and 200 then 'idempotency_key'
    when not isfinite(request.run_at) or not isfinite(request.not_after) then 'instants'
    when request.not_after <= clock_timestamp() then 'not_after_past'
    when request.not_after <= request.run_at then 'not_after_early'
    when request.priority not between 0 and 9 then 'priority'
    when request.timeout not between interval '1 second' and interval '7 days' then 'timeout'
    when request.max_attempts not between 1 and 100 then 'max_attempts'
    when request.link_ttl not between interval '1 minute' and interval '7 days' then 'link_ttl'
    when length(request.subject) not between 1 and 200
        or request.subject ~ '[\x01-\x1f\x7f-\x9f]' -- guard: control characters
        or request.subject ~ '^\s*$' then 'subject'
    when length(request.message) > 4000 or request.message ~ E'[\\x01-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]' then 'message'
    when jsonb_typeof(request.metadata) <> 'object' then 'metadata'
end;
comment on function exportbox.fault(exportbox.outbox) is 'Every rule of a request by itself, in the order of the columns: the first one broken, or null.';

create function exportbox.refuse(request exportbox.outbox, fault text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    code text;
    message text;
    hint text;
begin
    select told.code, told.message, told.hint into strict code, message, hint
    from (values
        ('report', 'EB001', case when request.report is null then 'the request names neither a report nor a query' else 'the request names both a report and a query' end,
            'Set exactly one of report and query.'),
        ('params', 'EB005', 'params must be a JSON object', 'For example {"month": "2026-01-01"}.'),
        ('adhoc', 'EB003', format('role "%s" may not request ad-hoc queries', request.requested_by),
            format('Request a report, or have an administrator run: grant exportbox_adhoc to %I;', request.requested_by)),
        ('query', 'EB004', 'the query is empty', 'Set query to one SELECT statement.'),
        ('values', 'EB005', 'a parameter of an ad-hoc query has a wrong name or is not a plain value',
            'Use names of lower-case letters, digits and underscores, and strings, numbers, booleans or nulls as values.'),
        ('recipients', 'EB011', 'recipients must be a plain list of addresses without nulls', 'For example array[''ann@example.com'', ''bob@example.com''].'),
        ('recipients_many', 'EB010', format('%s recipients are too many', cardinality(request.recipients)),
            'Name at most 50 recipients, or use a distribution list.'),
        ('address', 'EB011', (select format('"%s" is not an e-mail address', left(r.address, 100)) from unnest(request.recipients) as r (address)
            where not exportbox.is_address(r.address) limit 1), 'Use plain addresses such as ann@example.com; write international domains in their xn-- form.'),
        ('filename', 'EB023', 'filename is not a usable file name', 'Use 1 to 180 characters without slashes, backslashes and control characters.'),
        ('idempotency_key', 'EB040', 'idempotency_key must have 1 to 200 characters', 'Use a short key such as ''invoice-4711'', or leave it out.'),
        ('instants', 'EB030', 'run_at and not_after must be instants, not infinity', 'Leave not_after out when the request never expires.'),
        ('not_after_past', 'EB030', 'not_after is in the past', 'Set not_after to a later instant, or leave it out.'),
        ('not_after_early', 'EB030', 'not_after is not later than run_at', 'Set not_after after run_at, or leave it out.'),
        ('priority', 'EB031', format('priority %s is out of range', request.priority), 'Use 0 (first) to 9 (last); the default is 5.'),
        ('timeout', 'EB032', format('timeout %s is out of range', request.timeout), 'Use 1 second to 7 days.'),
        ('max_attempts', 'EB033', format('max_attempts %s is out of range', request.max_attempts), 'Use 1 to 100.'),
        ('link_ttl', 'EB034', format('link_ttl %s is out of range', request.link_ttl), 'Use 1 minute to 7 days; no signed link lives longer.'),
        ('subject', 'EB035', 'subject is not usable in a mail', 'Use 1 to 200 characters without line breaks and control characters.'),
        ('message', 'EB035', 'message is not usable in a mail', 'Use up to 4000 characters of plain text.'),
        ('metadata', 'EB036', 'metadata must be a JSON object', 'For example {"invoice": 4711}.')
    ) as told (fault, code, message, hint)
    where told.fault = refuse.fault;
    raise exception using errcode = code, message = message, hint = hint;
end
$$;
comment on function exportbox.refuse(exportbox.outbox, text) is 'Say what is wrong with a request, and fail its INSERT.';
