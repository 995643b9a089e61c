//! Moves container images where nothing else is installed: pulls them from registries over bad
//! networks into a store that cannot be corrupted.
//!
//! A *place* holds images. It is an [`endpoint::Source`] (resolve a name, open a blob from an
//! offset or for a range), an [`endpoint::Sink`] (does it have this blob, receive it, name it), or
//! both. One algorithm, [`transfer::Transfer`], moves an image from any source to any sink:
//!
//! ```text
//!  text -> Reference -+
//!                     v
//!    Registry -+    Source -> Plan -> Transfer -> Sink     +- Store
//!    Store    -+    (read)            | retry   (write) ---+- Layout
//!    Layout   -+                      | pool               +- Archive
//!    Archive  -+                      |
//!                                     | progress
//! ```
//!
//! Read it in this order: [`image`] has the values of the image-spec, [`mod@reference`] what the user
//! types, [`error`] what may go wrong and what helps; [`endpoint`] is what a place is; [`registry`],
//! [`store`], which is an image layout as others are, and [`archive`] are places; [`transfer`] brings
//! them together. The binary's commands see only what is public here.
//!
//! What always holds:
//!
//! - **A manifest is its bytes.** They are parsed for what they say, and kept and sent as they
//!   came: digests never change by themselves.
//! - **The sink verifies, the source may lie.** A blob is visible only under its verified digest;
//!   a name is written after all that it leads to.
//! - **Retry wraps one whole movement**, because connections break in the body. Requests
//!   themselves are sent once.
//! - **Memory is constant.** Nothing takes or returns a whole layer.
//! - **Nothing from outside is trusted**: sizes are bounded, digests are values, text is escaped
//!   before a terminal sees it, and a credential belongs to one origin.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use windlass::reference::Reference;
//! use windlass::registry::{Options, Registry};
//! use windlass::store::{Durability, Store};
//! use windlass::transfer::{Interrupt, Platforms, Retry, Transfer};
//!
//! let alpine: Reference = "alpine:3.20".parse()?;
//! let registry = Registry::new(alpine.repository().host(), Options::default())?;
//! let store = Store::open("images".as_ref(), Durability::Synced)?;
//! let transfer = Transfer {
//!     source: &registry.repository(alpine.repository()),
//!     sink: &store,
//!     jobs: 8,
//!     retry: Retry::default(),
//!     stall_timeout: Duration::from_secs(30),
//!     observer: &(),
//!     interrupt: &Interrupt::new(),
//! };
//! let plan = transfer.plan(&alpine, &Platforms::Host)?;
//! transfer.run(&alpine, &plan)?;
//! println!("{}", alpine.at(plan.resolved()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod archive;
pub mod endpoint;
pub mod error;
pub mod image;
pub mod printable;
pub mod reference;
pub mod registry;
pub mod store;
pub mod stream;
pub mod transfer;
