//! The cases, a file each. A case measures figure and floor in turn, as often as is wanted.

mod allocator;
mod drain;
mod enqueue;
mod fanout;
mod four;
mod held;
mod history;
mod idle;
mod large;
mod pickup;
mod queue;
mod slow;
mod small;
mod split;
mod start;

use std::pin::Pin;

use super::Wanted;
use super::line::Line;

type Running = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Line>>> + Send>>;

/// One case.
pub struct Case {
    /// What `CASE=` finds it by.
    pub name: &'static str,
    /// What is measured, against what.
    pub about: &'static str,
    /// Measures.
    pub run: fn(Wanted) -> Running,
}

/// All of them, in the order in which they run.
pub fn all() -> Vec<Case> {
    vec![
        Case {
            name: "drain",
            about: "a whole `exportbox drain` with nothing due, against `psql -c 'select 1'`",
            run: |wanted| Box::pin(drain::measure(wanted)),
        },
        Case {
            name: "queue",
            about: "100,000 jobs with a handler that does nothing, against two bare statements a batch",
            run: |wanted| Box::pin(queue::measure(wanted)),
        },
        Case {
            name: "held snapshot",
            about: "200,000 jobs while another session holds a snapshot from before, against none",
            run: |wanted| Box::pin(held::measure(wanted)),
        },
        Case {
            name: "enqueue",
            about: "a business transaction that also requests, against the same with a row in a plain table",
            run: |wanted| Box::pin(enqueue::measure(wanted)),
        },
        Case {
            name: "beside history",
            about: "queue and enqueue beside 10 million finished jobs, against none",
            run: |wanted| Box::pin(history::measure(wanted)),
        },
        Case {
            name: "pick-up",
            about: "from commit to claim by a sleeping process, also with 20 of them, against one NOTIFY",
            run: |wanted| Box::pin(pickup::measure(wanted)),
        },
        Case {
            name: "idle",
            about: "what one process and 50 do while there is nothing to do",
            run: |wanted| Box::pin(idle::measure(wanted)),
        },
        Case {
            name: "fan-out",
            about: "one export with 50 recipients, and a thousand such",
            run: |wanted| Box::pin(fanout::measure(wanted)),
        },
        Case {
            name: "small exports",
            about: "requests for 100 rows, one mail each, against COPY, PutObject and SendEmail at the same concurrency",
            run: |wanted| Box::pin(small::measure(wanted)),
        },
        Case {
            name: "large exports",
            about: "10 million rows in every form, against `psql -c 'COPY … TO STDOUT'`",
            run: |wanted| Box::pin(large::measure(wanted)),
        },
        Case {
            name: "four large at once",
            about: "four exports in one process, against four `psql` at once",
            run: |wanted| Box::pin(four::measure(wanted)),
        },
        Case {
            name: "split",
            about: "a report with a split key by two backends, against one `psql`",
            run: |wanted| Box::pin(split::measure(wanted)),
        },
        Case {
            name: "slow store",
            about: "200 MB into a store that takes 200 ms for each part: memory",
            run: |wanted| Box::pin(slow::measure(wanted)),
        },
        Case {
            name: "start",
            about: "size of the program, and `--version` against `psql --version`",
            run: |wanted| Box::pin(start::measure(wanted)),
        },
        Case {
            name: "allocator",
            about: "small and large exports with other allocators, where they are installed",
            run: |wanted| Box::pin(allocator::measure(wanted)),
        },
    ]
}
