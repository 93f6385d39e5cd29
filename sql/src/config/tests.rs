//! Settings: which values are taken, which are refused, and what is said about them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn values_are_checked_when_they_are_set() {
    let mut config = Config::default();
    for (key, value) in [
        ("pipeline.name", "wordcount"),
        ("parallelism.default", "4"),
        ("execution.runtime-mode", "streaming"),
        ("execution.checkpointing.interval", "1s"),
        ("state.checkpoints.dir", "file:///tmp/x"),
        ("restart-strategy.type", "fixed-delay"),
        ("table.local-time-zone", "America/Los_Angeles"),
        ("table.local-time-zone", "GMT+3"),
        ("pipeline.auto-watermark-interval", "0 ms"),
        ("table.exec.mini-batch.enabled", "true"),
        ("sql-client.execution.result-mode", "tableau"),
        ("eddyline.anything", "x"),
        ("table.exec.sink.not-null-enforcer", "drop"),
    ] {
        assert_eq!(config.set(key, value).unwrap(), None, "{key}");
    }
    assert_eq!((config.parallelism().unwrap(), config.time_zone().as_deref()), (4, Some("+03:00")));
    assert_eq!(config.checkpoint().unwrap().interval, Some(std::time::Duration::from_secs(1)));
    for (key, value) in [
        ("parallelism.default", "0"),
        ("parallelism.default", "many"),
        ("execution.runtime-mode", "batch"),
        ("execution.checkpointing.interval", "soon"),
        ("execution.checkpointing.num-retained", "0"),
        ("execution.checkpointing.mode", "TWICE"),
        ("table.local-time-zone", "America/Los_Angles"),
        ("table.exec.state.ttl", "1 fortnight"),
        ("restart-strategy.type", "maybe"),
    ] {
        let before = config.clone();
        let error = config.set(key, value).unwrap_err();
        assert!(error.message.contains(key), "{key}: {error}");
        assert_eq!(config, before, "a refused value changes nothing");
    }
    assert!(
        config.set("table.local-time-zone", "America/Los_Angles").unwrap_err().hint.unwrap().contains("Los_Angeles")
    );
}

#[test]
fn unknown_keys_warn_with_the_nearest_known_one() {
    let mut config = Config::default();
    let warning = config.set("pipline.name", "x").unwrap().unwrap();
    assert!(warning.contains("did you mean 'pipeline.name'?"), "{warning}");
    assert!(config.set("taskmanager.memory.process.size", "1g").unwrap().unwrap().contains("no effect"));
    assert_eq!(config.values().len(), 2);
}

#[test]
fn state_backends_on_disk_say_that_state_is_in_memory() {
    let mut config = Config::default();
    assert_eq!(config.set("state.backend.type", "hashmap").unwrap(), None);
    for key in STATE_BACKEND {
        assert!(config.set(key, "RocksDB").unwrap().unwrap().contains("kept in memory"), "{key}");
    }
    let error = config.set("state.backend.type", "redis").unwrap_err();
    assert!(error.message.contains("expected one of hashmap"), "{error:?}");
}

#[test]
fn mini_batches_need_a_size_and_a_latency() {
    let mut config = Config::default();
    assert_eq!(config.mini_batch().unwrap(), None);
    config.set(MINI_BATCH, "true").unwrap();
    assert!(config.mini_batch().unwrap_err().message.contains(MINI_BATCH_SIZE));
    config.set(MINI_BATCH_SIZE, "5000").unwrap();
    assert!(config.mini_batch().unwrap_err().message.contains(MINI_BATCH_LATENCY));
    config.set(MINI_BATCH_LATENCY, "2 s").unwrap();
    let expected = MiniBatchConfig { rows: 5000, latency: Duration::from_secs(2) };
    assert_eq!(config.mini_batch().unwrap(), Some(expected));
}

#[test]
fn defaults_come_back_after_reset() {
    let mut config = Config::default();
    assert_eq!(config.text(AUTO_WATERMARK_INTERVAL).as_deref(), Some("200ms"));
    config.set(AUTO_WATERMARK_INTERVAL, "0").unwrap();
    assert_eq!(config.options().unwrap().duration(AUTO_WATERMARK_INTERVAL).unwrap(), Some(std::time::Duration::ZERO));
    config.reset(AUTO_WATERMARK_INTERVAL);
    assert_eq!(config.text(AUTO_WATERMARK_INTERVAL).as_deref(), Some("200ms"));
    config.set(PARALLELISM, "2").unwrap();
    config.reset_all();
    assert_eq!(config.parallelism().unwrap(), 1);
}

#[test]
fn variables_are_put_in_and_missing_ones_are_placed() {
    let variables =
        BTreeMap::from([("topic".to_string(), "lines".to_string()), ("n".to_string(), "${topic}".to_string())]);
    assert_eq!(substitute("a ${topic} $${topic} ${ n }$", &variables).unwrap(), "a lines ${topic} ${topic}$");
    let error = substitute("SELECT 1;\n  '${topik}'", &variables).unwrap_err();
    assert_eq!(error.position, Some(Location { line: 2, column: 4 }));
    assert_eq!(error.hint.as_deref(), Some("did you mean 'topic'?"));
    assert!(substitute("${broker}", &variables).unwrap_err().hint.unwrap().contains("-D broker="));
    assert!(substitute("${topic", &variables).is_err());
}
