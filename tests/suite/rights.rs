//! Who may do what, what is left of a person, and who did it.

mod audit;
mod columns;
mod erase;
mod matrix;
mod requeue;
mod roles;
