//! The servers that are compared, and the load on them.

mod load;
mod servers;

pub use load::{Load, Row};
pub use servers::Server;
