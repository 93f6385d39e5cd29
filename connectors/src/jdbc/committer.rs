//! Writes the epoch logs of a sink to the database, in transactions that carry the marker: each row once, whatever dies.
//!
//! *A transaction:* move the marker, which must match exactly one row → write the pieces → commit. If the marker does not
//! match, roll back and look: it may stand where we wanted to move it, because an earlier attempt was committed although
//! its answer got lost; anything else is an error. A long epoch takes several transactions, each of whole pieces; the
//! marker counts them, and after a crash the rest follows.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use eddyline_engine::connector::{Committer, EpochLog, SinkContext, TableDescription};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, Result, crash};

use super::buffer::Changes;
use super::config::Config;
use super::connection::{Connection, Failure};
use super::halt::Halt;
use super::link::Link;
use super::log::Piece;
use super::marker::{Marker, Standing};
use super::opening::connect;
use super::refusal::Refusals;
use super::writer::Writer;

/// Rows of one transaction, unless its only piece has more: what a server replicates and rolls back in one go.
const TRANSACTION_ROWS: usize = 50_000;
/// Compressed bytes of one transaction, unless its only piece has more.
const TRANSACTION_BYTES: usize = 16 << 20;

/// Makes the epochs of one sink visible.
pub(super) struct JdbcCommitter {
    link: Link,
    writer: Writer,
    refusals: Refusals,
    marker: Marker,
    /// The declared columns.
    schema: SchemaRef,
    generation: i64,
    /// Where the marker stands, as far as we know.
    standing: Option<Standing>,
}

/// The pieces of one transaction.
type Decoded = Vec<(Changes, Vec<ChangelogBatch>)>;

impl JdbcCommitter {
    /// Connects and checks that the declared columns fit the table.
    pub(super) fn open(
        config: Config,
        table: &TableDescription,
        context: &SinkContext,
        halt: Arc<Halt>,
    ) -> Result<Self> {
        let marker = Marker::new(context)?;
        let (link, writer, refusals) = connect(&config, table, context, halt, true)?;
        let schema = table.sink_schema();
        Ok(JdbcCommitter { link, writer, refusals, marker, schema, generation: 0, standing: None })
    }

    /// Reads where the marker stands.
    fn look(&mut self) -> Result<Standing> {
        let marker = &self.marker;
        let found = self.link.run(async |connection| marker.read(connection).await);
        let (generation, standing) = found.map_err(|f| self.link.explain(f))?.ok_or_else(|| self.marker.lost())?;
        if generation != self.generation {
            return Err(self.marker.fenced(generation));
        }
        self.standing = Some(standing);
        Ok(standing)
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<(Changes, Vec<ChangelogBatch>)> {
        let (changes, batches) = piece.decode()?;
        let columns = |schema: &SchemaRef| {
            let column = |f: &Arc<Field>| format!("{} {}", f.name(), f.data_type());
            schema.fields().iter().map(column).collect::<Vec<_>>()
        };
        let declared = columns(&self.schema);
        match batches.iter().map(|batch| columns(&batch.rows().schema())).find(|logged| *logged != declared) {
            None => Ok((changes, batches)),
            Some(logged) => {
                let (name, logged, declared) = (self.marker.name(), logged.join(", "), declared.join(", "));
                let message = format!("the log of {name} has the columns ({logged}), the table now has ({declared})");
                let hint = "run the job once with the table declared as it was, so that the log is written";
                Err(Error::checkpoint(message).with_hint(hint))
            }
        }
    }

    /// Moves the marker and writes `pieces`, all or nothing.
    fn transact(&mut self, from: Standing, to: Standing, pieces: &[Piece<'_>]) -> Result<()> {
        let pieces: Decoded = pieces.iter().map(|piece| self.decode(piece)).collect::<Result<_>>()?;
        self.standing = None;
        let (writer, refusals, marker, generation) = (&self.writer, &self.refusals, &self.marker, self.generation);
        let begin = async |connection: &mut Connection| begin(connection, marker, generation, from, to).await;
        let mut written = self.link.run(async |connection| {
            if begin(connection).await? {
                for (changes, batches) in &pieces {
                    writer.write(connection, changes, batches).await?;
                }
                commit(connection).await?;
            }
            Ok(())
        });
        if let Err(Failure::Refused(_)) = written {
            written = self.link.run(async |connection| {
                if begin(connection).await? {
                    for (changes, batches) in &pieces {
                        refusals.write(connection, writer, changes, batches).await?;
                    }
                    commit(connection).await?;
                }
                Ok(())
            });
        }
        written.map_err(|f| self.link.explain(f))?;
        self.standing = Some(to);
        Ok(())
    }
}

impl Committer for JdbcCommitter {
    fn fence(&mut self, generation: u64) -> Result<()> {
        self.generation = number(generation)?;
        let (marker, generation) = (&self.marker, self.generation);
        let fenced = self.link.run(async |connection| marker.fence(connection, generation).await);
        fenced.map_err(|f| self.link.explain(f))?;
        crash::point("jdbc.marker-fenced")
    }

    fn applied_up_to(&mut self) -> Result<Option<Epoch>> {
        let standing = self.look()?;
        let whole = if standing.chunk == 0 { standing.epoch } else { standing.epoch - 1 };
        Ok(u64::try_from(whole).ok().map(Epoch))
    }

    fn partly_applied(&mut self) -> Result<Option<Epoch>> {
        let standing = self.look()?;
        Ok(u64::try_from(standing.epoch).ok().filter(|_| standing.chunk > 0).map(Epoch))
    }

    fn apply(&mut self, epoch: Epoch, logs: &[Arc<EpochLog>]) -> Result<()> {
        let target = number(epoch.0)?;
        let mut standing = match self.standing {
            Some(standing) => standing,
            None => self.look()?,
        };
        if standing.epoch > target || standing.epoch == target && standing.chunk == 0 {
            return Ok(());
        }
        let all = logs.iter().map(|log| Piece::all(log)).collect::<Result<Vec<_>>>()?.concat();
        let whole = Standing { epoch: target, chunk: 0 };
        if all.is_empty() {
            return if standing.epoch < 0 { self.transact(standing, whole, &[]) } else { Ok(()) };
        }
        // A part of an earlier epoch was given up by whoever allowed duplicates or began afresh.
        let begun = if standing.epoch == target { standing.chunk } else { 0 };
        let mut done = usize::try_from(begun).unwrap_or(usize::MAX);
        while done < all.len() {
            let count = fitting(&all[done..]);
            let last = done + count == all.len();
            let to = if last { whole } else { Standing { epoch: target, chunk: number((done + count) as u64)? } };
            self.transact(standing, to, &all[done..done + count])?;
            (standing, done) = (to, done + count);
        }
        if standing == whole {
            return Ok(());
        }
        let (name, count) = (self.marker.name(), all.len());
        let message = format!("{done} pieces of epoch {target} of {name} are written, and its log has {count}");
        Err(Error::refused("jdbc", message, "something else has changed __eddyline_commits"))
    }
}

/// Begins a transaction and moves the marker; false when an earlier attempt has committed it already.
async fn begin(
    connection: &mut Connection,
    marker: &Marker,
    generation: i64,
    from: Standing,
    to: Standing,
) -> Result<bool, Failure> {
    connection.begin().await?;
    crash::point("jdbc.transaction-begun")?;
    if marker.advance(connection, generation, from, to).await? {
        crash::point("jdbc.marker-moved")?;
        return Ok(true);
    }
    connection.run("ROLLBACK").await?;
    match marker.read(connection).await? {
        Some((owner, found)) if owner == generation && found == to => Ok(false),
        Some((owner, _)) if owner != generation => Err(marker.fenced(owner).into()),
        Some((_, found)) => {
            let message = format!("the marker of {} stands at {found:?} instead of {from:?}", marker.name());
            let hint = "something else has changed __eddyline_commits; start the job again";
            Err(Error::refused("jdbc", message, hint).into())
        }
        None => Err(marker.lost().into()),
    }
}

async fn commit(connection: &mut Connection) -> Result<(), Failure> {
    crash::point("jdbc.written")?;
    connection.run("COMMIT").await?;
    crash::point("jdbc.committed")?;
    Ok(())
}

/// How many of `pieces` one transaction takes; at least one.
fn fitting(pieces: &[Piece<'_>]) -> usize {
    let (mut rows, mut bytes) = (0, 0);
    let fits = |piece: &&Piece<'_>| {
        rows += piece.rows;
        bytes += piece.bytes();
        rows <= TRANSACTION_ROWS && bytes <= TRANSACTION_BYTES
    };
    pieces.iter().take_while(fits).count().max(1)
}

/// Numbers of epochs and generations as the database keeps them.
fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::internal(format!("{value} is out of range")))
}
