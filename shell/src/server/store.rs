//! The journal of a server: one file that only grows while the server runs, `journal.sql` in its data directory.
//!
//! ```text
//! -- eddyline journal 1
//! -- catalog bytes=48 sha256=5f0c…
//! CREATE TABLE t (a INT) WITH ('connector' = 'x')
//! -- job id=9a… catalog=1 started=1789… bytes=73 sha256=77ab…
//! SET 'pipeline.name' = 'fill';
//! INSERT INTO u SELECT * FROM t;
//!
//! -- end id=9a… bytes=0 sha256=e3b0…
//! ```
//! An entry counts when all of it is there: a torn last one was never acknowledged to anybody and is cut off; damage
//! anywhere else is an error, because what follows cannot be trusted. Entries are synced before the call returns. When a
//! server starts it leaves out the jobs that have ended. Table options may hold passwords: nobody else can read the file.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use eddyline_engine::runtime::JobHandle;
use eddyline_sql::engine::{JobRecord, Journal};
use eddyline_sql::{SqlError, SqlState};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

const HEADER: &str = "-- eddyline journal 1\n";

/// A job that was running when the last server ended.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveJob {
    /// The job.
    pub record: JobRecord,
    /// When it was first started, in milliseconds since the epoch.
    pub started_ms: i64,
}

/// What a journal says.
#[derive(Debug, Default, PartialEq)]
pub struct Contents {
    /// The statements that made the catalog, in order.
    pub catalog: Vec<String>,
    /// The jobs that have not ended.
    pub jobs: Vec<LiveJob>,
}

/// The journal, open.
pub struct Store {
    file: Mutex<File>,
    /// Jobs that have begun and not ended.
    live: Mutex<HashSet<String>>,
    closing: AtomicBool,
    this: Weak<Store>,
    /// Held for as long as the server lives, so that there is only one.
    _lock: File,
}

impl Store {
    /// Opens the journal of the data directory `dir`, which is made if need be, and says what is in it.
    pub fn open(dir: &Path) -> Result<(Arc<Store>, Contents), Failure> {
        let failed =
            |what: &str, e: io::Error| Failure::Message(format!("ERROR: cannot {what} {}: {e}", dir.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| failed("make", e))?;
        let lock = private().create(true).truncate(false).write(true).open(dir.join("lock"));
        let lock = lock.map_err(|e| failed("lock", e))?;
        if lock.try_lock().is_err() {
            let message = format!("ERROR: another server uses the data directory {}", dir.display());
            return Err(Failure::Message(format!("{message}\nHINT: stop it, or choose another --data-dir")));
        }
        let path = dir.join("journal.sql");
        let text = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => HEADER.as_bytes().to_vec(),
            Err(e) => return Err(failed("read the journal in", e)),
        };
        let contents = parse(&text).map_err(|e| Failure::Message(format!("ERROR: {}: {e}", path.display())))?;
        let file = rewrite(dir, &path, &contents).map_err(|e| failed("write the journal in", e))?;
        let live = contents.jobs.iter().map(|job| job.record.id.clone()).collect();
        let store = Arc::new_cyclic(|this| Store {
            file: Mutex::new(file),
            live: Mutex::new(live),
            closing: AtomicBool::new(false),
            this: this.clone(),
            _lock: lock,
        });
        Ok((store, contents))
    }

    /// From now on the end of a job is the server's doing and is not written down.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    fn append(&self, head: &str, body: &str) -> Result<(), SqlError> {
        let entry = entry(head, body);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.metadata().map(|m| m.len()).and_then(|length| {
            let written = file.write_all(entry.as_bytes()).and_then(|()| file.sync_data());
            // A part of an entry would look like damage once another one follows it.
            written.or_else(|e| file.set_len(length).and(Err(e)))
        });
        written.map_err(|e| {
            SqlError::new(SqlState::IoError, format!("the journal cannot be written: {e}"))
                .with_hint("the statement had no effect; make room on the disk of the data directory")
        })
    }

    fn live(&self) -> MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Store {
    fn catalog_changed(&self, statement: &str) -> Result<(), SqlError> {
        self.append("catalog", statement)
    }

    fn job_started(&self, job: &JobRecord) -> Result<(), SqlError> {
        self.append(&job_head(job, now_ms()), &job.script)?;
        self.live().insert(job.id.clone());
        Ok(())
    }

    fn job_ended(&self, id: &str) -> Result<(), SqlError> {
        let mut live = self.live();
        if live.contains(id) {
            self.append(&format!("end id={id}"), "")?;
            live.remove(id);
        }
        Ok(())
    }

    fn watch(&self, id: &str, job: &JobHandle) {
        let (this, id, job) = (self.this.clone(), id.to_string(), job.clone());
        let watch = move || {
            let ended = job.wait();
            let Some(store) = this.upgrade().filter(|store| !store.closing.load(Ordering::SeqCst)) else { return };
            if let Err(error) = ended {
                tracing::error!(job = job.name(), %error, "a job has failed");
            }
            if let Err(error) = store.job_ended(&id) {
                tracing::error!(job = job.name(), %error, "the end of a job could not be written down");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("job watch".to_string()).spawn(watch) {
            tracing::error!(%error, "nobody watches for the end of a job");
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn job_head(job: &JobRecord, started_ms: i64) -> String {
    format!("job id={} catalog={} started={started_ms}", job.id, job.catalog_version)
}

fn hash(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn entry(head: &str, body: &str) -> String {
    format!("-- {head} bytes={} sha256={}\n{body}\n", body.len(), hash(body.as_bytes()))
}

/// Writes a new journal beside the old one and puts it in its place.
fn rewrite(dir: &Path, path: &Path, contents: &Contents) -> io::Result<File> {
    let new: PathBuf = dir.join("journal.new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = private().create_new(true).append(true).open(&new)?;
    let mut text = HEADER.to_string();
    contents.catalog.iter().for_each(|statement| text.push_str(&entry("catalog", statement)));
    contents.jobs.iter().for_each(|job| {
        text.push_str(&entry(&job_head(&job.record, job.started_ms), &job.record.script));
    });
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// Reads a journal up to the end or to a torn last entry.
fn parse(bytes: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let Some(mut rest) = bytes.strip_prefix(HEADER.as_bytes()) else {
        return Err("this is no journal of this version of eddyline".to_string());
    };
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let Some((head, body, after)) = split(rest) else {
            return match rest.windows(4).skip(1).any(|four| four == b"\n-- ") {
                // Something that looks like an entry follows: this is no torn end.
                true => Err(format!("the journal is damaged at byte {at}; restore it from a backup")),
                false => Ok(contents),
            };
        };
        rest = after;
        let mut words = head.split(' ');
        let kind = words.next().unwrap_or_default();
        let fields: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
        let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
        match (kind, field("id")) {
            ("catalog", _) => contents.catalog.push(body.to_string()),
            ("job", Some(id)) => {
                let catalog_version = number("catalog").unwrap_or_default();
                let started_ms = number("started").and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default();
                let record = JobRecord { id: id.to_string(), catalog_version, script: body.to_string() };
                contents.jobs.push(LiveJob { record, started_ms });
            }
            ("end", Some(id)) => contents.jobs.retain(|job| job.record.id != id),
            _ => return Err(format!("the journal has an unknown entry at byte {at}: '{head}'")),
        }
    }
    Ok(contents)
}

/// Head, body and rest of the journal; None when the entry is not whole.
fn split(bytes: &[u8]) -> Option<(&str, &str, &[u8])> {
    let line = bytes.iter().position(|b| *b == b'\n')?;
    let head = std::str::from_utf8(&bytes[..line]).ok()?.strip_prefix("-- ")?;
    let field = |name: &str| head.split(' ').find_map(|word| word.strip_prefix(name));
    let length: usize = field("bytes=")?.parse().ok()?;
    let body = bytes.get(line + 1..line.checked_add(1)?.checked_add(length)?)?;
    let after = bytes.get(line + 1 + length..)?.strip_prefix(b"\n")?;
    (field("sha256=")? == hash(body)).then_some((head, std::str::from_utf8(body).ok()?, after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn record(id: &str, version: u64) -> JobRecord {
        JobRecord { id: id.to_string(), catalog_version: version, script: format!("SET 'a' = 'b';\n-- {id}\n;") }
    }

    #[test]
    fn what_was_written_is_read_and_ended_jobs_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (store, contents) = Store::open(dir.path()).ok().unwrap();
        assert_eq!(contents, Contents::default());
        store.catalog_changed("CREATE TABLE t (a INT)\nWITH ('x' = '-- end id=1')").unwrap();
        store.job_started(&record("1", 1)).unwrap();
        store.job_started(&record("2", 1)).unwrap();
        store.catalog_changed("DROP TABLE t").unwrap();
        store.job_ended("1").unwrap();
        store.job_ended("1").unwrap();
        assert!(Store::open(dir.path()).is_err(), "one server at a time");
        drop(store);
        let (_, contents) = Store::open(dir.path()).ok().unwrap();
        assert_eq!(contents.catalog.len(), 2);
        assert_eq!(contents.jobs.iter().map(|j| &j.record).collect::<Vec<_>>(), [&record("2", 1)]);
        let path = dir.path().join("journal.sql");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(path).unwrap();
        assert_eq!((text.matches("-- job").count(), text.matches("-- end id=1 ").count()), (1, 0));
    }

    #[test]
    fn a_torn_end_is_cut_off_at_every_byte_and_damage_elsewhere_is_refused() {
        let whole = format!("{HEADER}{}{}", entry("catalog", "CREATE VIEW a"), entry("catalog", "CREATE VIEW b"));
        let first = HEADER.len() + entry("catalog", "CREATE VIEW a").len();
        for length in first..whole.len() {
            let contents = parse(&whole.as_bytes()[..length]).unwrap();
            assert_eq!(contents.catalog, ["CREATE VIEW a"], "{length} bytes");
        }
        for at in HEADER.len()..first - 1 {
            let mut damaged = whole.clone().into_bytes();
            damaged[at] ^= 1;
            assert!(parse(&damaged).is_err(), "byte {at}");
        }
        assert!(parse(b"").is_err());
    }
}
