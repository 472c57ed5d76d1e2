//! The real program: what it prints, and the exit codes that scripts rely on.

mod database;
mod drain;
mod help;
mod look;
mod migrate;
mod operate;
mod settings;
mod stop;
