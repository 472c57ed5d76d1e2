//! The catalogue at work: values that stay data, ceilings, versions, the commands, and plans that keep their index.

mod ceilings;
mod commands;
mod expected;
mod injection;
mod plans;
mod terms;
mod values;
