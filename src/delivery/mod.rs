//! From a delivery job to one mailed link.

pub mod compose;
