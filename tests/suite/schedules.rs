//! Schedules: what is due is requested once, by the same door as everybody's, and nobody gains by it.

mod commands;
mod dates;
mod due;
mod who;
