//! What the sessions of a process share: the catalog of permanent objects, the jobs, the connectors.
//!
//! A process that wants to be what it was after a restart gives the engine a [`Journal`]. Each change of the catalog and
//! the start and end of each job is told to it before anybody hears that it happened, always as SQL text: executing
//! the text again in a new engine brings back what was there. A job is bound to the catalog as it was when the job
//! began, as in Flink: its entry says after which change that was.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use eddyline_engine::connector::Registry;
use eddyline_engine::runtime::JobHandle;

use crate::catalog::Catalog;
use crate::error::Result;
use crate::jobs::Jobs;
use crate::relations::Relations;
use crate::session::JournalOpener;

/// Where checkpoints of a process without a data directory go.
const DEFAULT_CHECKPOINT_DIR: &str = ".eddyline/checkpoints";

/// Writes down what must be there again after a restart. Every call returns when the entry is durable.
pub trait Journal: Send + Sync {
    /// `statement` has changed the catalog.
    fn catalog_changed(&self, statement: &str) -> Result<()>;

    /// A job is about to start.
    fn job_started(&self, job: &JobRecord) -> Result<()>;

    /// A job has come to its end and shall not start again. Every call after the first changes nothing.
    fn job_ended(&self, id: &str) -> Result<()>;

    /// A job runs; its end is to be written down when it comes.
    fn watch(&self, id: &str, job: &JobHandle);
}

/// A job as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its id.
    pub id: String,
    /// How many changes of the catalog it has seen.
    pub catalog_version: u64,
    /// The session's temporary objects and settings, then the job's statement, as one script.
    pub script: String,
}

/// What sessions share.
pub struct Engine {
    registry: Registry,
    catalog: Arc<SharedCatalog>,
    jobs: Jobs,
    relations: Arc<Relations>,
    #[cfg(feature = "batch")]
    batch: crate::batch::Batch,
    journal: Option<Arc<dyn Journal>>,
    checkpoint_dir: PathBuf,
    open_journal: Option<JournalOpener>,
}

impl Engine {
    /// An engine that forgets everything but the checkpoints of its jobs.
    pub fn new(registry: Registry) -> Self {
        Engine {
            registry,
            catalog: Arc::new(SharedCatalog::new(Catalog::default(), 0, None)),
            jobs: Jobs::default(),
            relations: Arc::default(),
            #[cfg(feature = "batch")]
            batch: Default::default(),
            journal: None,
            checkpoint_dir: PathBuf::from(DEFAULT_CHECKPOINT_DIR),
            open_journal: None,
        }
    }

    /// An engine that goes on from `catalog`, which has seen `version` changes, and tells `journal` what happens. Jobs,
    /// also those over bounded input, have their checkpoints in the folder `checkpoints` of `dir`, tables of our own their logs in
    /// `tables`. Its materialized views are recovering until their jobs have started.
    pub fn durable(
        registry: Registry,
        (catalog, version): (Catalog, u64),
        journal: Arc<dyn Journal>,
        dir: &Path,
    ) -> Result<Self> {
        let relations = Arc::new(Relations::of(&catalog, dir.join("tables"))?);
        let catalog = Arc::new(SharedCatalog::new(catalog, version, Some(Arc::clone(&journal))));
        let journal = Some(journal);
        Ok(Engine { catalog, relations, journal, checkpoint_dir: dir.join("checkpoints"), ..Engine::new(registry) })
    }

    /// Says how sessions open journals of checkpoints.
    pub fn with_checkpoint_journals(self, open: JournalOpener) -> Self {
        Engine { open_journal: Some(open), ..self }
    }

    pub(crate) fn open_journal(&self) -> Option<JournalOpener> {
        self.open_journal
    }

    /// The connectors.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The permanent objects.
    pub fn catalog(&self) -> &Arc<SharedCatalog> {
        &self.catalog
    }

    /// All jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The rows of its materialized views and its own tables.
    pub fn relations(&self) -> &Arc<Relations> {
        &self.relations
    }

    #[cfg(feature = "batch")]
    pub(crate) fn batch(&self) -> &crate::batch::Batch {
        &self.batch
    }

    /// Where changes are written down, if they are.
    pub fn journal(&self) -> Option<&Arc<dyn Journal>> {
        self.journal.as_ref()
    }

    /// The folder of checkpoints for a job without a setting; None when such a job over bounded input keeps none.
    pub(crate) fn checkpoint_dir(&self, bounded: bool) -> Option<PathBuf> {
        (self.journal.is_some() || !bounded).then(|| self.checkpoint_dir.clone())
    }
}

/// The permanent objects, changed by one session at a time.
pub struct SharedCatalog {
    state: RwLock<(Catalog, u64)>,
    journal: Option<Arc<dyn Journal>>,
}

impl SharedCatalog {
    /// A catalog that has seen `version` changes.
    pub fn new(catalog: Catalog, version: u64, journal: Option<Arc<dyn Journal>>) -> Self {
        SharedCatalog { state: RwLock::new((catalog, version)), journal }
    }

    /// The catalog as it is now, and how many changes it has seen.
    pub fn snapshot(&self) -> (Catalog, u64) {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets `change` work on the permanent objects below the `temporary` ones of a session, and returns what it returns,
    /// with the statement that does the same once more. What it changes becomes visible when it is durable, and not
    /// at all when it fails.
    pub(crate) fn change<T>(
        &self,
        temporary: &mut Catalog,
        change: impl FnOnce(&mut Catalog) -> Result<(T, String)>,
    ) -> Result<(T, String)> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut catalog = Catalog::layered(&state.0, temporary);
        let (result, statement) = change(&mut catalog)?;
        let (permanent, own) = catalog.split();
        if permanent != state.0 {
            if let Some(journal) = &self.journal {
                journal.catalog_changed(&statement)?;
            }
            *state = (permanent, state.1 + 1);
        }
        *temporary = own;
        Ok((result, statement))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use super::*;
    use crate::error::SqlError;
    use crate::parse::parse_script;
    use crate::session::Session;

    /// Notes changes of the catalog until it is full.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Journal for Notes {
        fn catalog_changed(&self, statement: &str) -> Result<()> {
            let mut notes = self.0.lock().unwrap();
            if notes.len() == 3 {
                return Err(SqlError::internal("the disk is full"));
            }
            notes.push(statement.to_string());
            Ok(())
        }

        fn job_started(&self, _job: &JobRecord) -> Result<()> {
            Ok(())
        }

        fn job_ended(&self, _id: &str) -> Result<()> {
            Ok(())
        }

        fn watch(&self, _id: &str, _job: &JobHandle) {}
    }

    fn execute(session: &mut Session, sql: &str) -> Result<()> {
        parse_script(sql)?.iter().try_for_each(|statement| session.execute(statement).map(drop))
    }

    #[test]
    fn permanent_objects_are_shared_and_noted_and_temporary_ones_are_neither() {
        let notes = Arc::new(Notes::default());
        let journal = Arc::clone(&notes) as Arc<dyn Journal>;
        let dir = std::env::temp_dir().join(format!("eddyline-engine-{}", std::process::id()));
        let engine = Engine::durable(Registry::default(), Default::default(), journal, &dir);
        let engine = Arc::new(engine.unwrap());
        let (mut one, mut two) = (Session::on(Arc::clone(&engine)), Session::on(Arc::clone(&engine)));
        execute(&mut one, "CREATE TABLE a (x INT) WITH ('connector' = 'c', 'password' = 'p''w')").unwrap();
        execute(&mut one, "CREATE TEMPORARY TABLE b (y INT, z AS y + 1) WITH ('connector' = 'c', 'token' = 't')")
            .unwrap();
        execute(&mut one, "CREATE TABLE IF NOT EXISTS a (other INT)").unwrap();
        assert_eq!((two.catalog().names(), one.catalog().names().len()), (vec!["a"], 2));
        execute(&mut one, "CREATE TABLE c LIKE b").unwrap();
        execute(&mut two, "DROP TABLE a").unwrap();
        let noted = notes.0.lock().unwrap().clone();
        assert_eq!((noted.len(), noted[2].as_str()), (3, "DROP TABLE a"));
        assert!(noted[1].contains("'token' = 't'") && !noted[1].contains("LIKE"), "{}", noted[1]);
        assert!(execute(&mut two, "DROP TABLE c").is_err(), "what cannot be noted does not happen");
        assert_eq!(two.catalog().names(), ["c"]);
        assert_eq!(engine.catalog().snapshot().1, 3);
        // The notes alone make the same catalog again.
        let mut again = Session::new(Registry::default());
        noted.iter().for_each(|text| parse_script(text).unwrap().iter().for_each(|s| again.replay(s).unwrap()));
        assert_eq!(again.catalog().names(), two.catalog().names());
    }
}
