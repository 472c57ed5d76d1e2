-- Pauses, and why a job waits.
select 1;
