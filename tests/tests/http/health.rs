//! `/health` says what is wrong.

use std::time::Duration;

use eddyline_tests::checkpoints::newest;
use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;
use eddyline_tests::services::process::wait_for;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_failed_job_makes_the_server_unhealthy_until_it_is_started_anew() {
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    assert_eq!(endpoint.get("/health").body, r#"{"status":"ok"}"#);
    let file = server.folder().join("rows.csv");
    std::fs::write(&file, "one\n").expect("a file");
    server.psql(&format!(
        "CREATE TABLE rows_of_file (a INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE TABLE nowhere (a INT) WITH ('connector' = 'blackhole');
         SET pipeline.name = 'reading'; INSERT INTO nowhere SELECT a FROM rows_of_file",
        file.display()
    ));
    server.wait_for_status("reading", "FAILED");
    let answer = endpoint.get("/health");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("job 'reading' has failed: ") && answer.body.contains("line 1"), "{}", answer.body);
    let id = endpoint.job("reading").expect("the job is listed");
    let errors = endpoint.json(&format!("/jobs/{id}/exceptions"));
    assert!(errors["root-exception"].as_str().is_some_and(|text| text.contains("line 1")), "{errors}");
    assert!(errors["all-exceptions"][0]["exception"] == errors["root-exception"], "{errors}");
    std::fs::write(&file, "1\n").expect("a file");
    server.psql("SET pipeline.name = 'reading'; INSERT INTO nowhere SELECT a FROM rows_of_file");
    server.wait_for_status("reading", "FINISHED");
    assert_eq!(endpoint.get("/health").status, 200);
}

#[test]
fn a_checkpoint_that_was_given_up_is_told_everywhere_until_one_succeeds() {
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(
        "CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');
         CREATE TABLE nowhere (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'blackhole');
         SET execution.checkpointing.interval = '200ms';
         SET pipeline.name = 'counting'; INSERT INTO nowhere SELECT k, COUNT(*) FROM ticks GROUP BY k",
    );
    let id = endpoint.job("counting").expect("the job is listed");
    let figures = || endpoint.json(&format!("/jobs/{id}/checkpoints"));
    let folder = server.folder().join("data/checkpoints/counting");
    let first = wait_for("a checkpoint", LIMIT, || Some(newest(&folder)).filter(|epoch| *epoch > 0));
    assert_eq!(endpoint.get("/health").status, 200);
    // Files where the folders of the next checkpoints should be.
    let places: Vec<_> = (first + 3..first + 5_000).map(|epoch| folder.join(format!("chk-{epoch}"))).collect();
    places.iter().for_each(|place| std::fs::write(place, "").expect("a file"));
    let answer = wait_for("the server to be unwell", LIMIT, || {
        let answer = endpoint.get("/health");
        (answer.status == 503).then_some(answer)
    });
    assert!(answer.body.contains("of job 'counting' was given up: "), "{}", answer.body);
    let listed = server.psql("SHOW CHECKPOINTS FOR JOB 'counting'");
    let failed: Vec<&str> =
        listed.lines().find(|line| line.contains("|FAILED|")).expect("it is listed").split('|').collect();
    assert!(failed[2].parse::<u64>().is_ok_and(|epoch| epoch >= first) && !failed[10].is_empty(), "{listed}");
    let said = figures();
    assert!(said["counts"]["failed"].as_u64().is_some_and(|failed| failed > 0), "{said}");
    assert!(said["latest"]["failed"]["failure_message"].as_str().is_some_and(|text| !text.is_empty()), "{said}");
    places.iter().for_each(|place| std::fs::remove_file(place).expect("the file is there"));
    wait_for("the server to be well again", LIMIT, || (endpoint.get("/health").status == 200).then_some(()));
    assert_eq!(server.job_status("counting"), "RUNNING");
}
