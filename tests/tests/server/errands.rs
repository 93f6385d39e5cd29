//! The same errands for every client, by its own means and through SCRAM and TLS: a wrong password, DDL, a look at the
//! catalog, a job, the place of an error, a continuous query that is cancelled, a view or table that is followed.

use std::process::{Child, Command};
use std::time::Duration;

use eddyline_tests::server::Server;
use eddyline_tests::services::process::{spawn, tied, wait_for};

use super::logins::{LOGIN, folder};

const LIMIT: Duration = Duration::from_secs(60);

/// What the Python clients have in common. `jobs` are the lines of SHOW JOBS by id: name, status, rows read.
const COMMON: &str = r#"
import asyncio, os, signal, threading
import asyncpg, psycopg, ssl
import sqlalchemy as sa
signal.alarm(100)
port, cert = os.environ['PORT'], os.environ['FOLDER'] + '/cert.pem'
DDL = ["CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50')",
       "CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole')",
       "CREATE VIEW odd AS SELECT k FROM ticks WHERE MOD(k, 2) = 1",
       "CREATE TABLE notes (id INT PRIMARY KEY, n INT)",
       "INSERT INTO notes VALUES (1, 10)"]
RELATIONS = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name"
WRONG = 'SELECT k, nothing FROM ticks'
def same(a, b):
    assert a == b, f'{a!r} is not {b!r}'
def connect(password='enchantress'):
    return psycopg.connect(host='127.0.0.1', port=port, user='ada', password=password, dbname='default_catalog',
                           sslmode='verify-ca', sslrootcert=cert, autocommit=True)
def jobs():
    with connect() as watcher:
        return {row[0]: (row[1], row[2], int(row[4] or 0)) for row in watcher.execute('SHOW JOBS').fetchall()}
def wait_for_job(id, status, rows):
    while not (jobs()[id][1] == status and jobs()[id][2] >= rows):
        pass
def queries():
    return sum(name == 'select' for name, _, _ in jobs().values())
def when_it_runs(act):
    """Acts as soon as a query runs: a cancel request that comes earlier is for nothing."""
    def wait():
        while queries() == 0:
            pass
        act()
    thread = threading.Thread(target=wait)
    thread.start()
    return thread
"#;

fn serving() -> Server {
    Server::start_in(folder(), LOGIN)
}

#[track_caller]
fn errands(script: &str) {
    assert_eq!(serving().python(&format!("{COMMON}{script}\nprint('done')")), "done");
}

#[test]
fn psycopg_does_all_errands() {
    errands(
        r#"
try:
    connect('guess')
    assert False
except psycopg.OperationalError as e:
    assert 'password authentication failed for user "ada"' in str(e), e
with connect() as c, connect() as other:
    for statement in DDL:
        c.execute(statement)
    same(c.execute(RELATIONS).fetchall(), [('notes',), ('odd',), ('sink',), ('ticks',)])
    same(c.execute('SELECT relkind FROM pg_catalog.pg_class WHERE relname = %s', ['odd']).fetchone()[0], 'v')
    id = c.execute('INSERT INTO sink SELECT k FROM odd').fetchone()[0]
    wait_for_job(id, 'RUNNING', 10)
    c.execute(f"STOP JOB '{id}'")
    wait_for_job(id, 'FINISHED', 10)
    try:
        c.execute(WRONG)
        assert False
    except psycopg.errors.UndefinedColumn as e:
        same(e.diag.statement_position, '11')
    with c.transaction(), c.cursor('followed') as cursor:
        cursor.execute('SUBSCRIBE TO notes')
        same([d.name for d in cursor.description], ['op', 'epoch', 'id', 'n'])
        first = cursor.fetchone()
        other.execute('UPDATE notes SET n = 11')
        changes = [cursor.fetchone(), cursor.fetchone()]
        same([(row[0], *row[2:]) for row in [first, *changes]], [('+I', 1, 10), ('-U', 1, 10), ('+U', 1, 11)])
    thread, seen = when_it_runs(c.cancel_safe), 0
    try:
        for row in c.cursor().stream('SELECT k FROM ticks'):
            seen += 1
        assert False
    except psycopg.errors.QueryCanceled:
        assert seen > 0
    thread.join()
    same(c.execute('SELECT n FROM notes').fetchall(), [(11,)])
"#,
    );
}

#[test]
fn asyncpg_does_all_errands() {
    errands(
        r#"
async def main():
    context = ssl.create_default_context(cafile=cert)
    def enter(password='enchantress'):
        return asyncpg.connect(host='127.0.0.1', port=port, user='ada', password=password, ssl=context,
                               database='default_catalog')
    try:
        await enter('guess')
        assert False
    except asyncpg.InvalidPasswordError as e:
        assert 'password authentication failed for user "ada"' in str(e), e
    c, other = await enter(), await enter()
    for statement in DDL:
        await c.execute(statement)
    same([row[0] for row in await c.fetch(RELATIONS)], ['notes', 'odd', 'sink', 'ticks'])
    id = await c.fetchval('INSERT INTO sink SELECT k FROM odd')
    await asyncio.to_thread(wait_for_job, id, 'RUNNING', 10)
    await c.execute(f"STOP JOB '{id}'")
    await asyncio.to_thread(wait_for_job, id, 'FINISHED', 10)
    try:
        await c.fetch(WRONG)
        assert False
    except asyncpg.UndefinedColumnError as e:
        same(e.position, '11')
    async with c.transaction():
        cursor = await c.cursor('SUBSCRIBE TO notes')
        rows = [await cursor.fetchrow()]
        await other.execute('UPDATE notes SET n = $1', 11)
        rows += [await cursor.fetchrow(), await cursor.fetchrow()]
        same([(row['op'], row['id'], row['n']) for row in rows], [('+I', 1, 10), ('-U', 1, 10), ('+U', 1, 11)])
        same([row['epoch'] - rows[0]['epoch'] for row in rows], [0, 1, 1])
    # A task that is cancelled sends a cancel request, and the connection can be used again.
    endless = asyncio.create_task(c.fetch('SELECT k FROM ticks'))
    while await asyncio.to_thread(queries) == 0:
        pass
    endless.cancel()
    try:
        await endless
        assert False
    except asyncio.CancelledError:
        pass
    same(await c.fetchval('SELECT n FROM notes'), 11)
    while await asyncio.to_thread(queries) > 0:
        pass
    # With a limit of time.
    try:
        await c.fetch('SELECT k FROM ticks', timeout=1)
        assert False
    except asyncio.TimeoutError:
        pass
    same(await c.fetchval('SELECT n FROM notes'), 11)
    await c.close()
    await other.close()
asyncio.run(main())
"#,
    );
}

#[test]
fn sqlalchemy_does_all_errands() {
    errands(
        r#"
def engine_with(password):
    url = sa.URL.create('postgresql+psycopg', 'ada', password, '127.0.0.1', int(port), 'default_catalog')
    return sa.create_engine(url, connect_args={'sslmode': 'verify-ca', 'sslrootcert': cert})
try:
    engine_with('guess').connect()
    assert False
except sa.exc.OperationalError as e:
    assert 'password authentication failed for user "ada"' in str(e), e
engine = engine_with('enchantress')
metadata = sa.MetaData()
marks = sa.Table('marks', metadata, sa.Column('id', sa.Integer, primary_key=True, autoincrement=False),
                 sa.Column('n', sa.Integer), sa.Column('word', sa.String))
metadata.create_all(engine)
with engine.begin() as c:
    c.execute(marks.insert(), [{'id': 1, 'n': 10, 'word': "it's"}, {'id': 2, 'n': 20, 'word': None}])
    same(c.execute(marks.update().where(marks.c.id == 1).values(n=11)).rowcount, 1)
    same(c.execute(marks.delete().where(marks.c.n > 11)).rowcount, 1)
    same(c.execute(sa.select(marks)).fetchall(), [(1, 11, "it's")])
metadata.drop_all(engine)
with engine.connect() as c, engine.connect() as other:
    for statement in DDL:
        c.execute(sa.text(statement))
    same(sorted(sa.inspect(engine).get_table_names()), ['notes', 'sink', 'ticks'])
    id = c.execute(sa.text('INSERT INTO sink SELECT k FROM odd')).scalar()
    wait_for_job(id, 'RUNNING', 10)
    c.execute(sa.text(f"STOP JOB '{id}'"))
    wait_for_job(id, 'FINISHED', 10)
    c.commit()
    try:
        c.execute(sa.text(WRONG))
        assert False
    except sa.exc.ProgrammingError as e:
        same((e.orig.sqlstate, e.orig.diag.statement_position), ('42703', '11'))
    c.rollback()
    # Server-side cursors, over a continuous query and over a table that is followed.
    streaming = c.execution_options(stream_results=True, max_row_buffer=5)
    result = streaming.execute(sa.text('SELECT k FROM ticks'))
    same(len([row for row, _ in zip(result, range(20))]), 20)
    result.close()
    followed = streaming.execute(sa.text('SUBSCRIBE TO notes'))
    rows = [followed.fetchone()]
    other.execute(sa.text('UPDATE notes SET n = :n'), {'n': 11})
    rows += [followed.fetchone(), followed.fetchone()]
    same([(row.op, row.id, row.n) for row in rows], [('+I', 1, 10), ('-U', 1, 10), ('+U', 1, 11)])
    followed.close()
    c.commit()
    while queries() > 0:
        pass
    plain = other.execution_options(stream_results=False)
    thread = when_it_runs(plain.connection.driver_connection.cancel_safe)
    try:
        plain.execute(sa.text('SELECT COUNT(*) FROM ticks'))
        assert False
    except sa.exc.OperationalError as e:
        same(e.orig.sqlstate, '57014')
    thread.join()
    other.rollback()
    same(other.execute(sa.text('SELECT n FROM notes')).scalar(), 11)
"#,
    );
}

#[test]
fn jdbc_does_all_errands() {
    let said = serving().java(concat!(env!("CARGO_MANIFEST_DIR"), "/services/jdbc/Errands.java"));
    let expected = [
        "refused 28P01",
        "encrypted",
        "relations notes odd sink ticks",
        "job RUNNING",
        "job FINISHED",
        "rows changed 1",
        "error 42703 11",
        "followed +I 1 10",
        "followed -U 1 10",
        "followed +U 1 11",
        "cancelled 57014",
        "left 11",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// psql with statements from a file, what it says in a file, until it ends or gets a signal.
fn start_psql(server: &Server, sql: &str, output: &str) -> Child {
    let file = server.folder().join(output);
    let script = server.folder().join(format!("{output}.sql"));
    std::fs::write(&script, sql).expect("a writable folder");
    let psql = server.psql_command(&["-A", "-t", "-q", "-f"]);
    let mut command = tied("psql", None);
    command.args(psql.get_args()).arg(&script).env("PGPASSWORD", "enchantress").env("PGSSLMODE", "require");
    let file = std::fs::File::create(file).expect("a writable folder");
    command.stdout(file.try_clone().expect("a second handle")).stderr(file);
    spawn(command).expect("psql can be run")
}

#[test]
fn psql_does_all_errands() {
    let server = serving();
    let psql = |sql: &str| {
        let mut command = server.psql_command(&["-A", "-t", "-q", "-c", sql]);
        let output = command.env("PGPASSWORD", "enchantress").output().expect("psql can be run");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim_end().to_string()
    };
    let mut guess = server.psql_command(&["-c", "SELECT 1"]);
    let said = guess.env("PGPASSWORD", "guess").output().expect("psql can be run").stderr;
    assert!(String::from_utf8_lossy(&said).contains("password authentication failed for user \"ada\""));
    psql(
        "CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50');
          CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');
          CREATE TABLE notes (id INT PRIMARY KEY, n INT);
          INSERT INTO notes VALUES (1, 10)",
    );
    assert_eq!(psql("\\dt").lines().count(), 3);
    let said = psql("INSERT INTO sink SELECT k FROM ticks");
    let id = said.lines().next().unwrap_or_default();
    assert!(id.len() == 32 && psql("SHOW JOBS").starts_with(&format!("{id}|insert-into")), "{said}");
    psql(&format!("STOP JOB '{id}'"));
    let said = psql("SELECT k, nothing FROM ticks");
    assert!(said.contains("LINE 1: SELECT k, nothing FROM ticks\n                  ^"), "{said}");

    // Through a cursor of one's own or, with FETCH_COUNT, one of psql's, rows are shown as they come.
    let printed = |output: &str| std::fs::read_to_string(server.folder().join(output)).unwrap_or_default();
    let followed = "BEGIN;\nDECLARE c CURSOR FOR SUBSCRIBE TO notes;\nFETCH 1 FROM c;\nFETCH 1 FROM c;\nFETCH 1 FROM c;\n\
                    FETCH 1 FROM c;";
    let mut follower = start_psql(&server, followed, "followed");
    let operations = || {
        let lines = printed("followed");
        lines.lines().filter_map(|line| line.split_once('|')).map(|(op, _)| op.to_string()).collect::<Vec<_>>()
    };
    let mut endless = start_psql(&server, "\\set FETCH_COUNT 1\nSELECT k FROM ticks;", "endless");
    wait_for("the first row", LIMIT, || (operations() == ["+I"]).then_some(()));
    psql("UPDATE notes SET n = 11");
    wait_for("the change", LIMIT, || (operations() == ["+I", "-U", "+U"]).then_some(()));
    wait_for("some rows of the endless query", LIMIT, || (printed("endless").lines().count() > 20).then_some(()));
    // Ctrl-C.
    for (child, output) in [(&mut follower, "followed"), (&mut endless, "endless")] {
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let ended = wait_for("psql to end", LIMIT, || child.try_wait().expect("a child of ours"));
        let said = printed(output);
        assert!(said.contains("canceling statement due to user request"), "{output}: {ended}\n{said}");
    }
    wait_for("both queries to end", LIMIT, || (!psql("SHOW JOBS").contains("RUNNING")).then_some(()));
}
