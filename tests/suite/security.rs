//! What the threat model in docs/threats.md names: what leaks nowhere, files and mails that cannot bite, and rights no wider than needed.

mod canary;
mod files;
mod hijack;
mod injection;
mod links;
mod papers;
mod secrets;
