//! `eddyline serve`: a server whose catalog and jobs survive restarts, behind the Postgres door.
//!
//! - `store`: the journal, from which `recover` brings everything back.
//! - `pg`: the Postgres door; `users`: who may come in.
//!
//! A server that is asked to stop (SIGTERM, Ctrl-C) stops each job with a last checkpoint and writes nothing about it
//! into the journal, so that the next one resumes them; one that is killed is resumed from older checkpoints.

mod pg;
mod recover;
mod store;
mod users;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eddyline_engine::runtime::StopMode;
use eddyline_sql::Engine;
use tokio::net::TcpListener;

use crate::cli::ServeArguments;
use crate::failure::Failure;
use crate::http;
use crate::interrupt::Interrupt;
pub use pg::WireFigures;
use pg::{Door, Limits};
use recover::{Comeback, recover};
use store::Store;
use users::Users;

/// How often a server looks whether it was asked to stop.
const POLL: Duration = Duration::from_millis(100);

/// Threads that wait for sessions and queries, per connection: one for its statement, and some for its cursors.
const THREADS_PER_CONNECTION: usize = 2;

/// Runs a server until it is asked to stop.
pub fn serve(arguments: &ServeArguments) -> Result<(), Failure> {
    let open_to_all = check_exposure(arguments)?;
    let users = arguments.user_file.as_deref().map(Users::read).transpose()?;
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(pg::acceptor(certificate, key)?),
        _ => None,
    };
    let interrupt = Interrupt::install()?;
    let (store, contents) = Store::open(&arguments.data_dir)?;
    let (engine, comebacks) =
        recover(eddyline_connectors::registry(), Arc::clone(&store), contents, &arguments.data_dir)?;
    let limits = Limits {
        connections: arguments.max_connections,
        login_timeout: Duration::from_secs(arguments.login_timeout),
        message_bytes: arguments.max_message_size,
    };
    let door =
        Door::new(Arc::clone(&engine), limits, users, tls, open_to_all).map_err(|e| Failure::Message(e.render("")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(arguments.max_connections * THREADS_PER_CONNECTION + 64)
        .build()?;
    let listener = runtime.block_on(TcpListener::bind(arguments.pg));
    let listener = listener.map_err(|e| Failure::Message(format!("ERROR: --pg {}: {e}", arguments.pg)))?;
    tell!("eddyline serves PostgreSQL clients at {}", listener.local_addr()?);
    if let Some(address) = arguments.http {
        let shown = http::Shown { engine: Arc::clone(&engine), wire: Some(door.figures()) };
        tell!("jobs are shown at http://{}/", http::start(address, shown)?);
    }
    let (closing, closed) = crossbeam_channel::bounded(0);
    start_again(&engine, comebacks, &arguments.data_dir.join("checkpoints"), &closed)?;
    runtime.block_on(async {
        let serving = tokio::spawn(Arc::new(door).serve(listener));
        while !interrupt.asked() {
            tokio::time::sleep(POLL).await;
        }
        serving.abort();
    });
    drop(closing);
    store.close();
    let stopped = stop_jobs(&engine);
    // Clients that still wait for something are not waited for.
    runtime.shutdown_background();
    stopped
}

/// Beyond this machine only with logins and encryption; true when that is so.
fn check_exposure(arguments: &ServeArguments) -> Result<bool, Failure> {
    if arguments.tls_cert.is_some() != arguments.tls_key.is_some() {
        return Err(Failure::Message("ERROR: --tls-cert and --tls-key belong together".to_string()));
    }
    let local = arguments.pg.ip().is_loopback();
    if !local && (arguments.user_file.is_none() || arguments.tls_cert.is_none()) {
        let message = format!("ERROR: --pg {} can be reached from other machines, and anybody there", arguments.pg);
        return Err(Failure::Message(format!(
            "{message} could read the data and use the passwords in tables\n\
             HINT: give --user-file, --tls-cert and --tls-key, or serve at 127.0.0.1"
        )));
    }
    Ok(!local)
}

/// Starts the jobs of the last life, each on a thread of its own.
fn start_again(
    engine: &Arc<Engine>,
    comebacks: Vec<Comeback>,
    checkpoints: &Path,
    closed: &crossbeam_channel::Receiver<()>,
) -> Result<(), Failure> {
    for comeback in comebacks {
        let (engine, checkpoints, closed) = (Arc::clone(engine), checkpoints.to_path_buf(), closed.clone());
        let thread = std::thread::Builder::new().name("comeback".to_string());
        thread.spawn(move || comeback.run(&engine, &checkpoints, &closed))?;
    }
    Ok(())
}

/// Stops what runs, each job with a last checkpoint. The first failure counts.
fn stop_jobs(engine: &Engine) -> Result<(), Failure> {
    let running: Vec<_> = engine.jobs().handles().into_iter().filter(|job| !job.status().state.is_terminal()).collect();
    running.iter().for_each(|job| job.stop(StopMode::Checkpoint));
    let mut first = Ok(());
    for job in &running {
        if let (Err(error), true) = (job.wait(), first.is_ok()) {
            first = Err(error.into());
        }
    }
    first
}
