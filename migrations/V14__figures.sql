-- Figures for metrics.
select 1;
