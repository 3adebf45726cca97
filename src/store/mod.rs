//! Places for files elsewhere: a folder, or a bucket of S3 or of what speaks like it.
//!
//! - [`target`] is where, as a setting says it.
//! - [`put`] brings a file there.
//! - [`http`] is how it speaks to a bucket: our HTTP and TLS, no others.

pub mod http;
pub mod put;
pub mod target;

pub use put::{Error, Store};
pub use target::Target;
