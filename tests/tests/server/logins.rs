//! Who may come in: SCRAM-SHA-256, TLS, and what a server refuses to do without them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use eddyline_tests::http::Endpoint;
use eddyline_tests::program::run;
use eddyline_tests::server::Server;

use super::abuse::memory_kib;

/// A folder with a file of users, and a certificate for `localhost` with its key.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    fs::write(&users, "ada:enchantress\n").expect("a writable folder");
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("a mode");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder.path())
        .output();
    let made = made.expect("openssl can be run");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// Arguments of a server in such a folder.
pub const LOGIN: &[&str] = &["--user-file", "users", "--tls-cert", "cert.pem", "--tls-key", "key.pem"];

/// Whether psql gets in, and what it says.
fn attempt(server: &Server, sslmode: &str, password: &str) -> (bool, String) {
    let mut psql = server.psql_command(&["-A", "-t", "-c", "SELECT 1"]);
    psql.env("PGPASSWORD", password).env("PGSSLMODE", sslmode).env("PGSSLROOTCERT", server.folder().join("cert.pem"));
    let output = psql.output().expect("psql can be run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn everybody_must_log_in_with_the_right_password_and_encryption() {
    let server = Server::start_in(folder(), &[LOGIN, &["--pg", "0.0.0.0:{port}"]].concat());
    assert_eq!(attempt(&server, "verify-ca", "enchantress"), (true, "1\n".to_string()));
    let (entered, said) = attempt(&server, "require", "wrong");
    assert!(!entered && said.contains("password authentication failed for user \"ada\""), "{said}");
    let (entered, said) = attempt(&server, "disable", "enchantress");
    assert!(!entered && said.contains("encrypted connections only"), "{said}");
    let mut stranger = server.psql_command(&["-c", "SELECT 1", "-U", "eve"]);
    let said = stranger.env("PGPASSWORD", "enchantress").output().expect("psql can be run").stderr;
    assert!(String::from_utf8_lossy(&said).contains("password authentication failed for user \"eve\""));
    assert!(!server.output().contains("enchantress"));
}

#[test]
fn python_clients_log_in_by_scram_over_tls() {
    let server = Server::start_in(folder(), LOGIN);
    let script = "
import asyncio, asyncpg, os, psycopg, ssl
port, cert = os.environ['PORT'], os.environ['FOLDER'] + '/cert.pem'
with psycopg.connect(host='127.0.0.1', port=port, user='ada', password='enchantress', sslmode='verify-ca', sslrootcert=cert) as c:
    assert c.pgconn.ssl_in_use and c.execute('SELECT 1').fetchone() == (1,)
async def main():
    context = ssl.create_default_context(cafile=cert)
    c = await asyncpg.connect(host='127.0.0.1', port=port, user='ada', password='enchantress', ssl=context)
    assert await c.fetchval('SELECT 2') == 2
    await c.close()
    try:
        await asyncpg.connect(host='127.0.0.1', port=port, user='ada', password='guess', ssl=context)
        assert False
    except asyncpg.InvalidPasswordError:
        pass
asyncio.run(main())
print('ok')";
    assert_eq!(server.python(script), "ok");
}

#[test]
fn guessing_is_limited_and_looks_the_same_for_users_that_do_not_exist() {
    let folder = folder();
    fs::write(folder.path().join("users"), "ada:enchantress\nbob:builder\n").expect("a writable file");
    let server = Server::start_in(folder, &["--user-file", "users"]);
    // As many wrong guesses as are allowed; how long each takes says nothing about who exists.
    let script = "
import os, psycopg, statistics, time
def attempt(user, password):
    begun = time.perf_counter()
    try:
        with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user=user, password=password) as c:
            entered = c.execute('SELECT 1').fetchone() == (1,)
    except psycopg.OperationalError as error:
        assert f'password authentication failed for user \"{user}\"' in str(error), error
        entered = False
    return entered, time.perf_counter() - begun
guesses = [(attempt('ada', f'guess {i}'), attempt('eve', f'guess {i}')) for i in range(10)]
assert not any(known[0] or unknown[0] for known, unknown in guesses)
known, unknown = (statistics.median(pair[i][1] for pair in guesses) for i in (0, 1))
assert 0.2 < known / unknown < 5, (known, unknown)
print(attempt('ada', 'enchantress')[0], attempt('bob', 'builder')[0])";
    assert_eq!(server.python(script), "False True", "ten failures a minute; others are let in");
}

/// Eight guessers with fifty wrong passwords each, every other one for a user that does not exist; bob comes in meanwhile.
const GUESSERS: &str = "
import os, psycopg, threading
def enter(user, password):
    return psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user=user, password=password)
wrong = []
def guess(guesser):
    for number in range(50):
        user = 'ada' if number % 2 else f'user{guesser}-{number}'
        try:
            enter(user, f'guess {number}')
        except psycopg.OperationalError as error:
            wrong.append('password authentication failed' in str(error))
threads = [threading.Thread(target=guess, args=(guesser,)) for guesser in range(8)]
[thread.start() for thread in threads]
served = 0
while any(thread.is_alive() for thread in threads):
    with enter('bob', 'builder') as c:
        served += c.execute('SELECT 1').fetchone()[0]
print(len(wrong), all(wrong), served >= 5)";

#[test]
fn hundreds_of_wrong_passwords_take_no_memory_and_keep_nobody_else_out() {
    let folder = folder();
    fs::write(folder.path().join("users"), "ada:enchantress\nbob:builder\n").expect("a writable file");
    let server = Server::start_in(folder, &["--user-file", "users", "--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    assert_eq!(
        server.python(
            "import os, psycopg
psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='bob', password='builder').execute('SELECT 1')"
        ),
        ""
    );
    let before = memory_kib(&server);
    assert_eq!(server.python(GUESSERS), "400 True True");
    let metrics = endpoint.get("/metrics").body;
    assert!(metrics.contains("\neddyline_pg_logins_failed_total 400\n"), "{metrics}");
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 30_000, "{grown} KiB");
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], reason: &str) {
    let all: Vec<&str> = ["serve"].iter().chain(arguments).copied().collect();
    let finished = run(folder, &all);
    assert!(finished.code == Some(1) && finished.stderr.contains(reason), "{finished:?}");
}

#[test]
fn a_server_for_other_machines_needs_users_and_encryption() {
    let folder = folder();
    let reason = "can be reached from other machines";
    refused(folder.path(), &["--pg", "0.0.0.0:0"], reason);
    refused(folder.path(), &["--pg", "[::]:0", "--user-file", "users"], reason);
    refused(folder.path(), &["--pg", "0.0.0.0:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"], reason);
    refused(folder.path(), &["--tls-cert", "cert.pem"], "belong together");
    fs::set_permissions(folder.path().join("users"), fs::Permissions::from_mode(0o644)).expect("a mode");
    refused(folder.path(), &["--user-file", "users"], "chmod 600");
}
