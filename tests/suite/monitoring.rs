//! What a process tells of itself: figures over HTTP, log lines, and the papers that explain them.

mod endpoint;
pub mod papers;
