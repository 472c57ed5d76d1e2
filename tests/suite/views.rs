//! The views: what they say of progress and health, that they read no history to say it, and that the documents describe them.

mod health;
mod history;
mod progress;
mod visible;
