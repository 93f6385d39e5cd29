//! Relations: named sets of rows that are kept current, with a version per epoch. What materialized views and tables of
//! our own are made of.
//!
//! ```text
//!   job of a view ── RelationSink ×n ── Shard ×n ──┐ freeze at the barrier
//!                    its committer ────────────────┴─ publish ──→ Version 7 ──→ SELECT, a job that reads the view
//!   INSERT, UPDATE, DELETE ──── Table::edit ── TableLog ──────→ Version 8 ──→ SUBSCRIBE
//! ```
//! A writer changes its own [`Shard`]; a frozen copy costs a pointer, because what is changed later is copied first
//! ([`shard`]). All shards of a version become visible in one step ([`Relation::publish`]), so a reader sees whole versions
//! only, holds one as long as it likes, and is in nobody's way.
//!
//! Readers have three ways: [`Relation::snapshot`] gives the current [`Version`]; [`Version::get`] looks rows up by key,
//! [`Version::batches`] streams all of them; [`Relation::subscribe`] gives a version and then the net changes to the
//! versions after it. A [`Subscription`] keeps the version that it has seen and works the changes out by comparison: a
//! slow one skips versions, gets the net changes of several in one step, and costs the writer nothing. There is no queue that
//! could run over.
//!
//! Invariants: numbers of versions only grow, over restarts of the process too; the version of a view is published when
//! its checkpoint is durable, so that what a reader has seen never goes back; one writer per relation.

mod codec;
mod difference;
mod log;
mod progress;
mod published;
pub mod shard;
mod sink;
mod source;
mod subscription;
mod table;
#[cfg(test)]
mod tests;
mod version;

pub use published::{Relation, RelationKind};
pub use shard::Shard;
pub use sink::RelationSinkFactory;
pub use source::RelationSourceFactory;
pub use subscription::{Changes, Subscription};
pub use table::{Edit, Edited, OnDuplicate, Table};
pub use version::{Batches, Version};
