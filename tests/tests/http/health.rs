//! `/health` says what is wrong.

use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;

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
