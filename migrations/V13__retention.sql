-- Retention.
select 1;
