//! A server that is killed or stopped comes back with its catalog, its views and its jobs.

use std::time::Duration;

use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka::{self, Kafka};
use eddyline_tests::services::process::wait_for;

use super::TABLES;

const LIMIT: Duration = Duration::from_secs(90);
const WORDS: usize = 37;

/// Counts the words of a topic into a SQLite file.
fn counting(broker: &Kafka, topic: &str) -> String {
    format!(
        "CREATE TABLE words (word STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'raw',
           'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset');
         CREATE VIEW long_words AS SELECT UPPER(word) AS word FROM words WHERE CHAR_LENGTH(word) > 2;
         CREATE TABLE wc (word STRING, cnt BIGINT, PRIMARY KEY (word) NOT ENFORCED)
           WITH ('connector' = 'jdbc', 'url' = 'sqlite:wc.db', 'table-name' = 'wc');
         SET 'execution.checkpointing.interval' = '200 ms';
         SET 'pipeline.name' = 'counting';
         INSERT INTO wc SELECT word, COUNT(*) FROM long_words GROUP BY word;",
        broker.bootstrap()
    )
}

fn produce(broker: &Kafka, topic: &str, count: usize) {
    let words: Vec<String> = (0..count).map(|i| format!("word{}", i % WORDS)).collect();
    broker.produce_lines(topic, 2, words);
}

/// The table that the job of [`counting`] writes.
fn make_table(server: &Server) {
    server.python(
        "import os, sqlite3; sqlite3.connect(os.environ['FOLDER'] + '/wc.db').execute(\
                   'CREATE TABLE wc (word TEXT PRIMARY KEY, cnt BIGINT)')",
    );
}

/// The sum of all counts and the number of words, as SQLite has them.
fn counted(server: &Server) -> String {
    server.python(
        "
import os, sqlite3
file = os.path.join(os.environ['FOLDER'], 'wc.db')
c = sqlite3.connect(f'file:{file}?mode=ro', uri=True, timeout=30)
print(c.execute('SELECT COALESCE(SUM(cnt), 0), COUNT(*) FROM wc').fetchone())",
    )
}

/// The columns of SHOW JOBS for this job.
fn job(server: &Server, name: &str) -> Vec<String> {
    let jobs = server.psql("SHOW JOBS");
    let line = jobs.lines().find(|line| line.split('|').nth(1) == Some(name)).unwrap_or_default();
    line.split('|').map(str::to_string).collect()
}

fn wait_for_checkpoint(server: &Server, newest: u64) {
    wait_for("a checkpoint", LIMIT, || {
        job(server, "counting").get(6).and_then(|number| number.parse::<u64>().ok()).filter(|n| *n > newest)
    });
}

#[test]
fn a_killed_server_comes_back_with_catalog_views_and_jobs_that_go_on() {
    let broker = kafka::shared();
    let topic = broker.fresh_topic("words", 2);
    produce(broker, &topic, 20_000);
    let mut server = Server::start();
    make_table(&server);
    server.psql("CREATE TABLE forgotten (a INT) WITH ('connector' = 'blackhole'); DROP TABLE forgotten");
    let id = server.psql(&counting(broker, &topic));
    wait_for_checkpoint(&server, 1);
    for round in 0..3 {
        produce(broker, &topic, 10_000);
        server.kill();
        produce(broker, &topic, 10_000);
        server.start_again();
        server.wait_for_status("counting", "RUNNING");
        assert_eq!(job(&server, "counting")[0], id, "the job keeps its id");
        assert_eq!(server.psql("SHOW TABLES"), "long_words\nwc\nwords", "round {round}");
        wait_for("the server to say from where", LIMIT, || {
            (server.output().matches("resuming job counting from checkpoint ").count() == round + 1).then_some(())
        });
        wait_for_checkpoint(&server, 0);
    }
    let expected = format!("({}, {WORDS})", 20_000 + 3 * 20_000);
    wait_for("all words to be counted", LIMIT, || (counted(&server) == expected).then_some(()));
    assert!(server.psql("DESCRIBE long_words").contains("word|STRING"));
    server.psql(&format!("STOP JOB '{id}'"));
    server.kill();
    server.start_again();
    assert_eq!(server.psql("SHOW JOBS"), "", "a job that was stopped stays away");
}

#[test]
fn jobs_whose_broker_is_away_when_the_server_starts_go_on_when_it_is_back() {
    let broker = Kafka::start();
    let topic = broker.fresh_topic("words", 2);
    produce(&broker, &topic, 1_000);
    let mut server = Server::start_with(&["--http", "127.0.0.1:0"]);
    make_table(&server);
    let id = server.psql(&counting(&broker, &topic));
    server.psql("CREATE MATERIALIZED VIEW total AS SELECT COUNT(*) AS n FROM long_words");
    let in_view = |server: &Server, rows: &str| {
        wait_for("the rows in the view", LIMIT, || (server.psql("SELECT n FROM total") == rows).then_some(()));
    };
    in_view(&server, "1000");
    wait_for_checkpoint(&server, 1);
    server.kill();
    broker.stop();
    server.start_again();
    let endpoint = Endpoint::announced(|| server.output());
    server.wait_for_status("counting", "RESTARTING");
    let health = wait_for("both jobs to be missed", LIMIT, || {
        let health = endpoint.get("/health");
        (health.status == 503 && health.body.contains(".total'")).then_some(health.body)
    });
    assert!(health.contains("job 'counting' is restarting"), "{health}");
    assert!(!job(&server, "counting")[7].is_empty(), "it says what it lacks: {:?}", job(&server, "counting"));
    broker.restart(Duration::ZERO);
    produce(&broker, &topic, 1_000);
    wait_for("the words to be counted", LIMIT, || (counted(&server) == format!("(2000, {WORDS})")).then_some(()));
    in_view(&server, "2000");
    assert_eq!(job(&server, "counting")[..3], [id, "counting".to_string(), "RUNNING".to_string()]);
    wait_for("the server to be healthy", LIMIT, || (endpoint.get("/health").status == 200).then_some(()));
}

#[test]
fn jobs_of_a_stopped_server_go_on_and_finished_ones_stay_away() {
    let mut server = Server::start();
    server.psql(TABLES);
    server.psql("SET pipeline.name = 'endless'; INSERT INTO counts SELECT k, 1, CURRENT_TIMESTAMP FROM odd");
    server.psql("SET pipeline.name = 'short'; INSERT INTO counts VALUES (1, 1.00, CURRENT_TIMESTAMP)");
    server.wait_for_status("short", "FINISHED");
    assert!(server.stop(), "{}", server.output());
    server.start_again();
    server.wait_for_status("endless", "RUNNING");
    assert_eq!(server.job_status("short"), "");
    let status = server.psql("SHOW JOBS");
    assert_eq!(status.lines().count(), 1, "{status}");
}

#[test]
fn a_job_keeps_the_catalog_that_it_was_submitted_with() {
    let mut server = Server::start();
    server.psql(TABLES);
    let statements = "CREATE TEMPORARY VIEW mine AS SELECT k FROM odd; SET pipeline.name = 'kept';
                      CREATE TEMPORARY TABLE mould (a INT, b AS a + 1) WITH ('connector' = 'blackhole');
                      CREATE TABLE cast_of LIKE mould;
                      INSERT INTO counts SELECT k, 1, CURRENT_TIMESTAMP FROM mine";
    server.psql(statements);
    server.psql("DROP VIEW odd");
    server.kill();
    server.start_again();
    server.wait_for_status("kept", "RUNNING");
    assert_eq!(server.psql("SHOW TABLES"), "cast_of\ncounts\nticks");
}

#[test]
fn tables_made_from_queries_come_back_with_their_jobs() {
    let mut server = Server::start();
    server.psql(TABLES);
    server.psql(
        "CREATE TEMPORARY VIEW mine AS SELECT k FROM odd; SET pipeline.name = 'made';
                 CREATE TABLE made WITH ('connector' = 'blackhole') AS SELECT k, k + 1 AS l FROM mine",
    );
    assert_eq!(server.job_status("made"), "RUNNING");
    for _ in 0..2 {
        server.kill();
        server.start_again();
        server.wait_for_status("made", "RUNNING");
        assert_eq!(server.psql("SHOW JOBS").lines().count(), 1);
        assert!(server.psql("DESCRIBE made").contains("l|BIGINT"));
    }
}

#[test]
fn two_servers_cannot_share_a_data_directory_and_a_damaged_journal_is_refused() {
    let mut server = Server::start();
    server.psql(TABLES);
    let second = eddyline_tests::program::run(server.folder(), &["serve", "--data-dir", "data", "--pg", "127.0.0.1:0"]);
    assert!(second.stderr.contains("another server uses the data directory"), "{second:?}");
    server.kill();
    let journal = server.folder().join("data/journal.sql");
    let text = std::fs::read_to_string(&journal).expect("the journal");
    std::fs::write(&journal, text.replacen("datagen", "datagem", 1)).expect("a writable journal");
    let third = eddyline_tests::program::run(server.folder(), &["serve", "--data-dir", "data", "--pg", "127.0.0.1:0"]);
    assert!(third.stderr.contains("damaged at byte"), "{third:?}");
}
