//! A file by several backends: the same bytes as by one, of one instant, within the same bounds; and where that cannot be had, by one.

mod end;
mod file;
mod register;

use exportbox::export::SplitOptions;
use serde_json::json;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::rows::ATTEMPTS;

/// Stops whoever gets there while the gate is closed.
const GATE: &str = "case when id = 2500 then (select 1 from (select pg_advisory_xact_lock_shared(1)) as gate) end as gated";

/// 5,000 rows with keys of every kind: even, skewed, with many rows for a value, none, or an infinite one.
const ITEMS: &str = "create table public.item as
        select n as id, (n % 7)::smallint as small, (n::bigint * n * n) as big, n / 3.0 as number, date '2020-01-01' + n / 50 as day,
            timestamp '2026-01-01' + n * interval '1 minute' as local, md5(n::text)::uuid as uid, substr(md5(n::text), 1, 3) as word,
            left(md5((-n)::text), 5)::varchar(9) as label,
            case when n % 10 > 0 then case when n < 4990 then timestamptz '2026-01-01' + n * n * interval '1 second' else 'infinity' end end as at,
            repeat(E'=\"x, \\n' || n, 12) as filler
        from generate_series(1, 5000) as n;
    insert into public.item select id from generate_series(5001, 5020) as id;
    create unique index on public.item (id);
    create index on public.item (small);
    create index on public.item (big);
    create index on public.item (number);
    create index on public.item (day);
    create index on public.item (local);
    create index on public.item (uid);
    create index on public.item (word);
    create index on public.item (label);
    create index on public.item (at);
    grant select, insert, delete on public.item to app;
    analyze public.item;";

/// A world with items in it, where small files are split, too.
async fn world() -> World {
    let mut world = World::new().await;
    world.settings.split = SplitOptions { backends: 3, least_rows: 100.0, slice_bytes: 30_000.0 };
    world.sql(ITEMS).await;
    // The table is in memory: places do not matter.
    world.sql(&format!("alter database {} set random_page_cost = 1", world.database)).await;
    world
}

impl World {
    /// Register a report that is split by this key.
    async fn split_report(&self, name: &str, query: &str, key: &str, more: &str) {
        self.register(name, query, &format!(", split_key => '{key}'{more}")).await;
    }

    async fn request_split(&self, name: &str, more: &str) -> Uuid {
        self.request_report(name, json!({}), more).await
    }

    /// How many backends the last attempt of this export had.
    async fn backends_had(&self, id: Uuid) -> i64 {
        let had = format!(
            "select 1 + coalesce(cardinality(attempt.more_pids), 0)::bigint from {ATTEMPTS}
            where attempt.export_id = $1 order by attempt.number desc limit 1"
        );
        self.row(&had, &[&id]).await.get(0)
    }
}
