//! What keeps the protocol whole. Each can be taken away alone, to see that the checker misses it.

/// One field for each guard of the code.
#[derive(Debug, Clone, Copy)]
pub struct Guards {
    /// Every write of a worker names its lease token.
    pub fence: bool,
    /// Every claim makes a new token.
    pub fresh_token: bool,
    /// The key of an object contains the lease token.
    pub attempt_scoped_key: bool,
    /// Reap takes a lease only after its expiry.
    pub expiry: bool,
    /// Reap ends what has overrun its deadline.
    pub deadline: bool,
    /// A worker stops when its own clock, which is earlier, says so.
    pub own_clock: bool,
    /// A mail is stamped before its provider is called.
    pub stamp: bool,
    /// Nothing is stamped that is cancelled.
    pub stamp_hears_cancel: bool,
    /// Reap marks a stamped mail as unknown.
    pub mark: bool,
    /// Completing an export that was cancelled cancels it.
    pub complete_hears_cancel: bool,
    /// Reaping a job that was cancelled cancels it.
    pub reap_hears_cancel: bool,
    /// The manifest and the deliveries are one statement.
    pub one_statement: bool,
    /// What ends a lease closes its attempt in the same statement.
    pub close_attempt: bool,
    /// A job that loses its worker too often is dead.
    pub crash_limit: bool,
    /// Gathering a death puts it down as noticed.
    pub noticed: bool,
    /// What completed is not swept.
    pub sweep_spares: bool,
    /// A lost attempt is swept again after the last moment at which something of it can arrive.
    pub sweep_again: bool,
}

impl Guards {
    /// The protocol as it is.
    pub const ALL: Guards = Guards {
        fence: true,
        fresh_token: true,
        attempt_scoped_key: true,
        expiry: true,
        deadline: true,
        own_clock: true,
        stamp: true,
        stamp_hears_cancel: true,
        mark: true,
        complete_hears_cancel: true,
        reap_hears_cancel: true,
        one_statement: true,
        close_attempt: true,
        crash_limit: true,
        noticed: true,
        sweep_spares: true,
        sweep_again: true,
    };
}
