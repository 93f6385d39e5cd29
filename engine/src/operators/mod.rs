//! The operators: one file each, only its own logic. None knows a channel, barrier, clock, thread or checkpoint.

mod changelog_normalize;
mod changelog_table;
mod current_watermark;
mod deduplicate;
mod expand;
mod filter;
mod group_aggregate;
mod join;
mod mini_batch;
mod not_null;
mod project;
mod union;
mod unnest;
mod window_aggregate;
mod window_assign;
mod window_columns;
mod window_group;

#[cfg(test)]
mod tests;

pub use changelog_normalize::ChangelogNormalize;
pub use changelog_table::{FromChangelog, ToChangelog};
pub use current_watermark::CurrentWatermark;
pub use deduplicate::{Deduplicate, Keep};
pub use expand::Expand;
pub use filter::Filter;
pub use group_aggregate::{GroupAggregate, GroupAggregateSpec};
pub use join::{Join, JoinSpec, JoinType};
pub use mini_batch::MiniBatch;
pub use not_null::NotNullEnforcer;
pub use project::Project;
pub(crate) use project::project as project_batch;
pub use union::Union;
pub use unnest::Unnest;
pub use window_aggregate::{TimeAttribute, WindowAggregate, WindowAggregateSpec};
pub use window_assign::WindowAssign;
pub use window_group::WindowGroup;
