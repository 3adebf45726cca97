//! The report of `quilt tradeoff`: what a meeting costs as mesh, SFU, MCU and hybrid, from measured
//! figures to CSV, JSON and one page. All of it is pure: who measures is elsewhere.
//!
//! ```text
//! figures (rows) ▸ points (rounds) ▸ verdict (each quantity) ─┬▸ words, advice ▸ html ◂ chart
//!      │                    └──────▸ overall (which to use) ──┘    └▸ report (JSON)
//!      └▸ csv
//! ```
//!
//! - A [`figures::Run`] is what was measured, row by row. What was not measured is absent, and stays
//!   so to the end: it is never a zero.
//! - [`points`] takes the rounds together. A saturated row decides nothing.
//! - [`verdict`] says for each [`quantity`] which topologies are best at which number of people;
//!   what differs no more than it differs from round to round does not differ.
//! - [`overall`] says which one to use, for clients that can bear so much ([`overall::Yardstick`]).
//! - [`words`] and [`advice`] put both into sentences; [`html`] shows them with a [`chart`] and a table for each
//!   quantity.

pub mod advice;
pub mod chart;
pub mod csv;
pub mod figures;
pub mod html;
mod markup;
pub mod overall;
mod phrases;
pub mod points;
pub mod quantity;
pub mod report;
#[cfg(test)]
pub(crate) mod sample;
mod scale;
pub mod verdict;
pub mod words;

pub use figures::{Row, Run};
pub use report::Report;
