-- The last word: EXECUTE of a function is PUBLIC's by PostgreSQL's default. It is taken back here for all of them at once, so that none can be
-- forgotten; what the files before granted to the named roles stays. This file stays the last.

revoke all on all functions in schema exportbox from public; -- guard: nothing for everybody
