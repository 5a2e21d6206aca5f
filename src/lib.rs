//! tiderace
#![cfg_attr(docsrs, feature(doc_cfg))]

mod buffer;
pub mod codec;
mod limits;
