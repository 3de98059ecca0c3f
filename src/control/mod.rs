//! provisional
#![allow(missing_docs)]
pub mod backend;
pub mod call;
pub mod codec;
pub mod error;
pub mod types;
