-- name: forget_notices
-- Forget what was mailed about failures more than a month ago. Run once by each process.
delete from exportbox.notice
where notice.finished_at < now() - interval '30 days'
returning notice.id
