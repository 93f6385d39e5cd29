//! A server that is killed again and again in the middle of a load comes back with all that it keeps: the catalog, views, a
//! table of our own that is written meanwhile, views of both, and a job that writes to another system. What is read during
//! the load adds up, and in the end everything is what a batch over the same input gives.

use std::process::Child;
use std::time::Duration;

use eddyline_tests::chance::{pass, random};
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;

use super::views::{serving, wait_for_answer};

const LIMIT: Duration = Duration::from_secs(120);
const ROWS: usize = 1_000_000;
const ACCOUNTS: usize = 1000;
const KILLS: usize = 4;
/// Rows that are produced at once: one part at first, one after the last kill, and two for each kill.
const PART: usize = ROWS / (2 * KILLS + 2);

/// Transfers between accounts as CSV lines, always the same ones.
fn transfers() -> impl Iterator<Item = (usize, usize, i64)> {
    let mut state = 7_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    std::iter::repeat_with(move || (next(ACCOUNTS as u64) as usize, next(ACCOUNTS as u64) as usize, next(1000) as i64))
}

fn produce(topic: &str, from: usize, count: usize) {
    let line = |(payer, payee, amount): (usize, usize, i64)| format!("{payer},{payee},{amount}");
    kafka::shared().produce_lines(topic, 4, transfers().skip(from).take(count).map(line));
}

/// The two sides of each transfer.
const MOVES: &str = "(SELECT payer AS account, -amount AS amount FROM transfers
  UNION ALL SELECT payee AS account, amount FROM transfers)";

/// Views of a topic, a table of our own and views of it, a view of both, and a job that keeps a table of SQLite.
fn bank(topic: &str) -> String {
    format!(
        "CREATE TABLE transfers (payer INT, payee INT, amount BIGINT) WITH ('connector' = 'kafka',
           'topic' = '{topic}', 'format' = 'csv', 'properties.bootstrap.servers' = '{}',
           'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE vaults (id INT PRIMARY KEY, gold BIGINT);
         INSERT INTO vaults VALUES (0,100),(1,100),(2,100),(3,100),(4,100),(5,100),(6,100),(7,100),(8,100),(9,100);
         CREATE MATERIALIZED VIEW hoard AS
           SELECT COUNT(*) AS vaults, SUM(gold) AS gold, SUM(gold * gold) AS spread FROM vaults;
         SET 'parallelism.default' = '2';
         CREATE MATERIALIZED VIEW balances AS
           SELECT account, SUM(amount) AS balance, COUNT(*) AS moves FROM {MOVES} GROUP BY account;
         CREATE MATERIALIZED VIEW sides AS
           SELECT balance < 0 AS owes, COUNT(*) AS accounts, SUM(balance) AS total FROM balances GROUP BY balance < 0;
         CREATE MATERIALIZED VIEW wealth AS
           SELECT b.account, b.balance + v.gold AS wealth FROM balances b JOIN vaults v ON b.account = v.id;
         CREATE TABLE kept (account INT, balance BIGINT, moves BIGINT, PRIMARY KEY (account) NOT ENFORCED)
           WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:kept.db', 'table-name' = 'kept');
         SET 'pipeline.name' = 'keeping';
         SET 'execution.checkpointing.interval' = '500 ms';
         INSERT INTO kept SELECT account, SUM(amount), COUNT(*) FROM {MOVES} GROUP BY account;",
        kafka::shared().bootstrap()
    )
}

/// What both scripts do while the server is away, or going, or coming back; no other error will do.
const PATIENT: &str = "
import os, random, signal, time, psycopg
signal.alarm(300)
def connect():
    return psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
def patiently(work):
    while True:
        try:
            with connect() as connection:
                return work(connection)
        except psycopg.Error as error:
            assert error.sqlstate in (None, '57P01', '55000'), error
            assert error.sqlstate or isinstance(error, psycopg.OperationalError), error
            time.sleep(0.02)
";

/// Reads the views all the time: what is in them adds up, and what was seen once stays. Ends when all is there.
const READER: &str = "
ROWS, seen, told, spreads = 1000000, 0, False, set()
def read(connection):
    global seen, told
    while seen < 2 * ROWS:
        row = connection.execute('SELECT SUM(balance), SUM(moves), COUNT(*) FROM balances').fetchone()
        balance, moves, accounts = (value or 0 for value in row)
        assert balance == 0, f'{balance} came from nowhere after {moves} moves'
        assert moves % 2 == 0 and accounts <= 1000, row
        assert moves >= seen, f'{moves} after {seen}'
        seen = moves
        total = connection.execute('SELECT SUM(total) FROM sides').fetchone()[0] or 0
        assert total == 0, f'{total} in the view on the view'
        gold = connection.execute('SELECT vaults, gold, spread FROM hoard').fetchone()
        assert gold is None or gold[:2] in ((0, None), (10, 1000)), f'a view of {gold}'
        assert connection.execute('SELECT COUNT(*), SUM(gold) FROM vaults').fetchone() == (10, 1000)
        spreads.add(gold and gold[2])
        if not told and seen > 0:
            print('begun', flush=True)
            told = True
patiently(read)
assert len(spreads) > 5, f'the view of the vaults had few versions: {spreads}'
";

/// Moves gold from vault to vault until the file `enough` is there; one line in the file `moved` for each answer.
const WRITER: &str = "
folder = os.environ['FOLDER']
note = open(folder + '/moved', 'a')
def move(connection):
    while not os.path.exists(folder + '/enough'):
        a, b = random.sample(range(10), 2)
        connection.execute('UPDATE vaults SET gold = gold + CASE id WHEN %s THEN 7 ELSE -7 END WHERE id IN (%s, %s)',
                           (a, a, b))
        print(a, b, file=note, flush=True)
patiently(move)
";

fn finish(client: Child) -> String {
    let output = client.wait_with_output().expect("a child of ours");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "a client failed:\n{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the views must hold in the end: per account its balance and how often it came.
fn expected() -> Vec<(i64, i64)> {
    let mut accounts = vec![(0_i64, 0_i64); ACCOUNTS];
    for (payer, payee, amount) in transfers().take(ROWS) {
        accounts[payer] = (accounts[payer].0 - amount, accounts[payer].1 + 1);
        accounts[payee] = (accounts[payee].0 + amount, accounts[payee].1 + 1);
    }
    accounts
}

/// What a statement of Python's prints about the table in SQLite.
fn kept(server: &Server) -> String {
    server.python(
        "
import os, sqlite3
c = sqlite3.connect(f'file:{os.environ[\"FOLDER\"]}/kept.db?mode=ro', uri=True, timeout=30)
for row in c.execute('SELECT account, balance, moves FROM kept ORDER BY account'):
    print(*row, sep='|')",
    )
}

/// Kills the server at some moment of each part of the load.
fn load_and_kill(server: &mut Server, topic: &str) {
    let mut random = random("kills of a server under load", 71);
    let seen = |server: &Server| server.psql("SELECT SUM(moves) FROM balances").parse::<usize>().unwrap_or(0);
    let moved = |server: &Server| std::fs::read(server.folder().join("moved")).unwrap_or_default().len();
    for kill in 0..KILLS {
        let (seen_before, moved_before) = (seen(server), moved(server));
        produce(topic, (2 * kill + 1) * PART, PART);
        wait_for("the load to go on", LIMIT, || {
            (seen(server) > seen_before && moved(server) > moved_before).then_some(())
        });
        pass(&mut random, 1500);
        server.kill();
        produce(topic, (2 * kill + 2) * PART, PART);
        server.start_again();
        wait_for("the server to say from where", LIMIT, || {
            let said = server.output().matches("resuming materialized view balances from checkpoint ").count();
            (said == kill + 1).then_some(())
        });
        assert_eq!(server.psql("SHOW TABLES"), "balances\nhoard\nkept\nsides\ntransfers\nvaults\nwealth");
        server.wait_for_status("keeping", "RUNNING");
    }
    produce(topic, (2 * KILLS + 1) * PART, PART);
}

#[test]
fn a_server_that_is_killed_under_load_comes_back_with_everything_and_nobody_ever_sees_a_part() {
    let topic = kafka::shared().fresh_topic("transfers", 4);
    produce(&topic, 0, PART);
    let mut server = serving(&bank(&topic));
    let reader = server.start_python(&format!("{PATIENT}{READER}"));
    let writer = server.start_python(&format!("{PATIENT}{WRITER}"));
    load_and_kill(&mut server, &topic);
    let output = finish(reader);
    assert!(output.contains("begun"), "the reader has read before the end: {output}");
    std::fs::write(server.folder().join("enough"), "").expect("a writable folder");
    finish(writer);

    let accounts = expected();
    let lines: Vec<String> = accounts.iter().enumerate().map(|(n, (b, m))| format!("{n}|{b}|{m}")).collect();
    let lines = lines.join("\n");
    assert_eq!(server.psql("SELECT account, balance, moves FROM balances ORDER BY account"), lines);
    wait_for("the same in the other system", LIMIT, || (kept(&server) == lines).then_some(()));
    let side = |owes: bool| {
        let of: Vec<i64> = accounts.iter().map(|(balance, _)| *balance).filter(|b| (*b < 0) == owes).collect();
        format!("{}|{}|{}", if owes { "t" } else { "f" }, of.len(), of.iter().sum::<i64>())
    };
    server.psql("FLUSH");
    let sides = format!("{}\n{}", side(false), side(true));
    wait_for_answer(&server, "SELECT owes, accounts, total FROM sides ORDER BY owes", &sides);
    let vaults = server.psql("SELECT gold FROM vaults ORDER BY id");
    let vaults: Vec<i64> = vaults.lines().map(|gold| gold.parse().expect("a number")).collect();
    assert!(vaults.iter().sum::<i64>() == 1000 && vaults != [100; 10], "{vaults:?}");
    let spread: i64 = vaults.iter().map(|gold| gold * gold).sum();
    assert_eq!(server.psql("SELECT vaults, gold, spread FROM hoard"), format!("10|1000|{spread}"));
    let wealth: Vec<String> =
        vaults.iter().zip(&accounts).enumerate().map(|(n, (gold, (b, _)))| format!("{n}|{}", b + gold)).collect();
    wait_for_answer(&server, "SELECT account, wealth FROM wealth ORDER BY account", &wealth.join("\n"));
}
