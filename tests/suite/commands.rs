//! The real program: what it prints, and the exit codes that scripts rely on.

mod database;
mod drain;
mod generate;
mod help;
mod migrate;
mod operate;
mod schema;
mod settings;
mod stop;
mod terminal;
mod views;
