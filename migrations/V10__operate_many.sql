-- Operating many at once.
select 1;
