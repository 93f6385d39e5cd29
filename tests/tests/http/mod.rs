//! The HTTP endpoint of running jobs: its shapes are Flink's, its metrics Prometheus', its page says what REST and SQL
//! say, and nobody else's pages are served.

mod guard;
mod health;
mod metrics;
mod page;
mod running;
mod shapes;

use eddyline_tests::http::Endpoint;
use eddyline_tests::program::Program;

/// An endless job with checkpoints and event time.
const JOB: &str = "
SET 'pipeline.name' = 'observed';
SET 'execution.checkpointing.interval' = '100ms';
SET 'execution.checkpointing.dir' = 'checkpoints';
CREATE TABLE numbers (id BIGINT, at AS TO_TIMESTAMP_LTZ(id, 3), WATERMARK FOR at AS at) WITH (
  'connector' = 'datagen', 'rows-per-second' = '1000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1',
  'fields.id.end' = '100000000');
CREATE TABLE nowhere (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT MOD(id, 10), COUNT(*) FROM numbers GROUP BY MOD(id, 10);
";

/// `eddyline run --http` with [`JOB`].
struct Observed {
    program: Program,
    endpoint: Endpoint,
    _folder: tempfile::TempDir,
}

impl Observed {
    fn start() -> Observed {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("job.sql"), JOB).expect("the script can be written");
        let arguments = ["run", "--http", "127.0.0.1:0", "job.sql"].map(String::from);
        let program = Program::start(folder.path(), &arguments);
        let endpoint = Endpoint::announced(|| program.output());
        Observed { program, endpoint, _folder: folder }
    }
}
