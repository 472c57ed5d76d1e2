//! `doctor`: what is wrong is found, by its name, with what to do; and whatever is wrong, every other check has its turn.

mod database;
mod mail;
mod program;
mod store;
