//! The committer: what becomes visible when, and how processes of one pipeline shut each other out.

use super::*;

#[test]
fn an_epoch_is_visible_once_and_only_after_it_was_applied() {
    let pipeline = Pipeline::new(shared());
    let mut process = pipeline.start().unwrap();
    assert_eq!(process.marker(), None);
    process.committer.apply(Epoch(0), &[]).unwrap();
    assert_eq!(process.marker(), Some(0), "an empty epoch writes the first marker");
    let log = process.log(0..1000);
    assert!(!log.is_empty());
    assert!(pipeline.visible().is_empty());
    process.apply(1, &log).unwrap();
    process.apply(1, &log).unwrap();
    assert_eq!(pipeline.visible(), (0..1000).collect::<Vec<_>>());
    // Another process finds the marker; what is visible is not written again.
    let mut next = pipeline.start().unwrap();
    assert_eq!(next.marker(), Some(1));
    next.apply(1, &log).unwrap();
    let more = next.log(1000..1001);
    next.apply(2, &more).unwrap();
    assert_eq!(pipeline.visible(), (0..1001).collect::<Vec<_>>());
}

#[test]
fn many_epochs_follow_each_other_on_two_slots() {
    let pipeline = Pipeline::new(shared());
    let mut process = pipeline.start().unwrap();
    for epoch in 1..=20 {
        let log = process.log(epoch * 10..epoch * 10 + 10);
        process.apply(epoch as u64, &log).unwrap();
    }
    assert_eq!(process.marker(), Some(20));
    assert_eq!(pipeline.visible(), (10..210).collect::<Vec<_>>());
}

#[test]
fn a_large_epoch_takes_several_transactions() {
    let pipeline = Pipeline::new(shared()).with("eddyline.sink.transaction-size", "4mb");
    let mut process = pipeline.start().unwrap();
    // Numbers of 19 digits take about 50 bytes each, so that these are some 20 MB.
    let first = 1_000_000_000_000_000_000;
    let logs: Vec<Arc<EpochLog>> =
        (0..4).map(|n| process.log(first + n * 100_000..first + (n + 1) * 100_000)).collect();
    process.committer.apply(Epoch(7), &logs).unwrap();
    assert_eq!(process.marker(), Some(7));
    assert_eq!(pipeline.visible(), (first..first + 400_000).collect::<Vec<_>>());
}

#[test]
fn a_process_that_was_taken_over_commits_nothing() {
    let pipeline = Pipeline::new(shared());
    let mut old = pipeline.start().unwrap();
    let log = old.log(0..10);
    old.apply(1, &log).unwrap();
    let mut new = pipeline.start().unwrap();
    old.owns.store(false, Ordering::Release);
    let late = old.log(10..20);
    let error = old.apply(2, &late).unwrap_err().to_string();
    assert!(error.contains("the fence is lost"), "{error}");
    let own = new.log(20..30);
    new.apply(2, &own).unwrap();
    assert_eq!(pipeline.visible(), (0..10).chain(20..30).collect::<Vec<_>>());
}

#[test]
fn a_handle_that_was_shut_out_is_replaced_while_the_pipeline_is_ours() {
    let pipeline = Pipeline::new(shared());
    let mut process = pipeline.start().unwrap();
    // Somebody initialises our transactional ids and goes away: a process that found out that it is not the owner.
    drop(pipeline.start().unwrap());
    for epoch in 1..=3 {
        let log = process.log(epoch * 10..epoch * 10 + 10);
        process.apply(epoch as u64, &log).unwrap();
    }
    assert_eq!(pipeline.visible(), (10..40).collect::<Vec<_>>());
}

#[test]
fn a_marker_that_somebody_else_moved_stops_the_job() {
    let pipeline = Pipeline::new(shared());
    let mut process = pipeline.start().unwrap();
    let log = process.log(0..10);
    process.apply(1, &log).unwrap();
    // A copy of the checkpoint folder runs elsewhere; each is sure to be the owner.
    let mut copy = pipeline.start().unwrap();
    for epoch in 2..=4 {
        let log = copy.log([epoch]);
        copy.apply(epoch as u64, &log).unwrap();
    }
    let log = process.log(10..20);
    let words = refusal(process.apply(2, &log));
    assert!(words.contains("stands after epoch 4") && words.contains("left it after epoch 1"), "{words}");
    assert!(words.contains("checkpoint folder"), "{words}");
    assert_eq!(pipeline.visible(), [0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_broker_that_restarts_is_waited_for() {
    let kafka = Kafka::start();
    let pipeline = Pipeline::new(&kafka);
    let mut process = pipeline.start().unwrap();
    let logs: Vec<Arc<EpochLog>> = (1..=60).map(|epoch| process.log([epoch])).collect();
    let applying = std::thread::spawn(move || {
        for (epoch, log) in (1..).zip(&logs) {
            process.apply(epoch, log)?;
        }
        Ok::<_, Error>(process)
    });
    let read = || kafka.read_committed(&pipeline.topic).len();
    eddyline_tests::services::process::wait_for("the first epochs", Duration::from_secs(30), || {
        (read() > 3).then_some(())
    });
    kafka.restart(Duration::from_secs(2));
    let mut process = applying.join().expect("no panic").unwrap();
    assert_eq!(process.marker(), Some(60));
    let read = kafka.read_committed(&pipeline.topic);
    let keys: std::collections::BTreeSet<Vec<u8>> = read.iter().filter_map(|m| m.key().map(<[u8]>::to_vec)).collect();
    assert_eq!((read.len(), keys.len()), (60, 60));
}

#[test]
fn an_interrupted_committer_returns_soon() {
    let kafka = Kafka::start();
    let pipeline = Pipeline::new(&kafka);
    let mut process = pipeline.start().unwrap();
    let log = process.log(0..10);
    let factory = process.factory.clone();
    kafka.stop();
    let applying = std::thread::spawn(move || process.apply(1, &log));
    // Whether it has begun to wait or not: it ends.
    factory.interrupt();
    let began = std::time::Instant::now();
    assert!(applying.join().expect("no panic").is_err());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
