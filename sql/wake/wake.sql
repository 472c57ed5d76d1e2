-- name: wake
-- There is more to do than this process can start: wake one that sleeps.
select exportbox.wake(now())
