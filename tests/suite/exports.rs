//! What is in the file: byte for byte what COPY gives, and a clear end where there can be none.

mod data;
mod escape;
mod guard;
mod idle;
mod jsonl;
mod queries;
mod refused;
mod shape;
mod split;
