//! windlass

pub mod endpoint;
pub mod error;
pub mod image;
pub mod printable;
pub mod reference;
pub mod registry;
pub mod store;
pub mod stream;
pub mod transfer;
