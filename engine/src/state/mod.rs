//! Declared state: what operators remember, in a few types that know how to freeze and restore themselves.
//!
//! An operator lists its states by name ([`States`]); the runtime takes [`State::snapshot`]s at a barrier (cheap: a
//! copy of arrays, or shared pointers to them), writes them in the background, and after a restart hands every
//! subtask the rows of the key groups it owns through [`State::restore`].
//!
//! Invariant: a snapshot row of keyed state carries its key group in the first column ([`key_group::FIELD`]), so that
//! a checkpoint can be restored at any parallelism.

pub mod group_table;
mod key_chunks;
pub mod key_group;
pub mod multi_row_table;
pub mod pane_table;
pub mod row_table;
pub mod value;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How the rows of a state are spread over the subtasks of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Each row belongs to a key group; a subtask gets the rows of the key groups it owns.
    Keyed,
    /// Each subtask wrote its own rows; on restore every subtask gets all rows of all subtasks and keeps what it wants.
    Broadcast,
}

/// The rows of a frozen state.
pub enum FrozenRows {
    /// They are there.
    Made(Vec<RecordBatch>),
    /// They are made when they are written; the function gives the same rows whenever it is called.
    Later(Box<dyn Fn() -> Result<Vec<RecordBatch>> + Send>),
}

/// One named thing that an operator remembers.
pub trait State: Send {
    /// Columns of a snapshot. Keyed state starts with the key group column.
    fn schema(&self) -> SchemaRef;

    /// Who gets which rows on restore.
    fn distribution(&self) -> Distribution;

    /// A frozen copy of the state now. Must be quick: the task waits. Batches of zero rows may be left out.
    fn snapshot(&mut self) -> Result<Vec<RecordBatch>>;

    /// The same for the runtime: a state whose rows can be shared at no cost leaves their making to a background thread.
    fn freeze(&mut self) -> Result<FrozenRows> {
        Ok(FrozenRows::Made(self.snapshot()?))
    }

    /// Adds rows from a snapshot to this state, which was empty before the first such call. Called any number of times.
    fn restore(&mut self, rows: &RecordBatch) -> Result<()>;
}

/// The states of one operator or sink, by name.
pub struct States<'a>(Vec<(&'static str, &'a mut dyn State)>);

impl<'a> States<'a> {
    /// A stateless operator.
    pub fn none() -> Self {
        States(Vec::new())
    }

    /// One state.
    pub fn one(name: &'static str, state: &'a mut dyn State) -> Self {
        States(vec![(name, state)])
    }

    /// Adds a state.
    pub fn and(mut self, name: &'static str, state: &'a mut dyn State) -> Self {
        self.0.push((name, state));
        self
    }
}

impl<'a> IntoIterator for States<'a> {
    type Item = (&'static str, &'a mut dyn State);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
