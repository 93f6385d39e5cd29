//! What the engine asks of external systems: sources that can be positioned, sinks that commit with the checkpoint,
//! and factories that turn a table's `WITH` options into either.
//!
//! - `source`: [`SourceReader`], one per subtask.
//! - `sink`: [`Sink`], one per subtask, and [`Committer`], one per sink: the two-phase interface of every sink.
//! - `factory`: [`ConnectorFactory`] and [`Registry`], through which SQL finds connectors by name.
//! - `options`: checked access to `WITH` options.

mod factory;
mod options;
mod sink;
mod source;

pub use factory::{
    ColumnKind, ConnectorFactory, MetadataColumn, Registry, SinkChanges, SourceChanges, TableColumn, TableDescription,
    TableSink, TableSource,
};
pub use options::{OptionSpec, OptionValue, Options, nearest, parse_duration, parse_size};
pub use sink::{Committer, EpochLog, Guard, Sink, SinkContext, SinkFactory};
pub use source::{Polled, SourceFactory, SourceReader, SplitId, SplitPosition, SplitProgress};
