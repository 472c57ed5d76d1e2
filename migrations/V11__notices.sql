-- Failure notices and the operator's digest.
select 1;
