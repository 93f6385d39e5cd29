//! `/health`: 200 when every job does its work, 503 with reasons when one does not.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eddyline_sql::facts::{self, Stage};
use eddyline_sql::jobs::JobEntry;
use serde_json::json;

/// The answer about these jobs.
pub fn answer(jobs: &[JobEntry]) -> Response {
    let reasons: Vec<String> = jobs.iter().filter_map(|job| complaint(job, jobs)).collect();
    match reasons.is_empty() {
        true => super::json(&json!({ "status": "ok" })),
        false => {
            let body = super::json(&json!({ "status": "unhealthy", "reasons": reasons }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// What is wrong with a job: it has failed and nobody has started it anew, it waits to start again, or its newest
/// checkpoint that has ended was given up. Queries are their readers' business.
fn complaint(job: &JobEntry, jobs: &[JobEntry]) -> Option<String> {
    if job.query {
        return None;
    }
    let (state, name) = (facts::flink_state(job), &job.name);
    let because = job.error().map_or_else(String::new, |error| format!(": {error}"));
    match state {
        "FAILED" => {
            let newer = jobs.iter().rfind(|other| other.name == *name).is_some_and(|newest| newest.id != job.id);
            (!newer).then(|| format!("job '{name}' has failed{because}"))
        }
        "RESTARTING" => Some(format!("job '{name}' is restarting{because}")),
        "RUNNING" => {
            let ended = facts::checkpoints(job).into_iter().find(|c| c.stage != Stage::InProgress)?;
            let failure = ended.failure.filter(|_| ended.stage == Stage::Failed)?;
            Some(format!("checkpoint {} of job '{name}' was given up: {failure}", ended.epoch))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use eddyline_sql::SqlError;
    use eddyline_sql::jobs::JobPhase;

    use super::*;

    fn job(id: &str, name: &str, phase: JobPhase) -> JobEntry {
        let (view, reads, started_at) = (None, Vec::new(), SystemTime::now());
        JobEntry { id: id.into(), name: name.into(), started_at, query: false, view, reads, phase }
    }

    #[test]
    fn failed_and_waiting_jobs_are_named_until_somebody_starts_them_anew() {
        let failed = job("1", "a", JobPhase::Refused(SqlError::internal("the broker is away")));
        let waiting = job("2", "b", JobPhase::Starting(Some(SqlError::internal("x"))));
        let again = job("3", "a", JobPhase::Starting(None));
        let told = |jobs: &[JobEntry]| -> Vec<String> { jobs.iter().filter_map(|j| complaint(j, jobs)).collect() };
        let all = told(&[failed.clone(), waiting.clone()]);
        assert!(all[0].contains("job 'a' has failed") && all[0].contains("away") && all[1].contains("'b'"), "{all:?}");
        assert_eq!(told(&[failed, again]), Vec::<String>::new());
        assert_eq!(answer(&[waiting]).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer(&[]).status(), StatusCode::OK);
    }
}
