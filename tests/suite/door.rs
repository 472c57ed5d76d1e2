//! The door: what an application's INSERT may say, what it is refused, and who sees what of it.

mod accepted;
mod addresses;
mod catalogue;
mod formats;
mod forms;
mod keys;
mod refused;
mod rights;
