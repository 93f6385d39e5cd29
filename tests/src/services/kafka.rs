//! A real Apache Kafka broker (KRaft, one node) from Maven Central, and quick ways to fill and read its topics.
//!
//! The class path is resolved by Maven from `tests/services/kafka/pom.xml`, once per machine; the broker's data lies in
//! a temporary folder. It listens in the clear and, on a second port, with SASL/PLAIN (user `alice`, password
//! `alice-secret`). Topics are not created by themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use super::process::{free_port, require_program, service_folder, spawn, tied, wait_for};

const VERSION: &str = "4.2.0";
const POM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/services/kafka/pom.xml");
const DEADLINE: Duration = Duration::from_secs(60);
/// After so long a [forgetful](Kafka::forgetful) broker knows nothing of a producer or transactional id that is not used.
pub const FORGOTTEN_WITHIN: Duration = Duration::from_millis(4_500);
const FORGETFUL: &str = "producer.id.expiration.ms=3000
producer.id.expiration.check.interval.ms=500
transactional.id.expiration.ms=3000
transaction.remove.expired.transaction.cleanup.interval.ms=500
";

/// A running broker; killed when dropped and when this process ends.
pub struct Kafka {
    process: Mutex<Child>,
    folder: TempDir,
    port: u16,
    sasl_port: u16,
}

/// One message to write.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Where to; None leaves the choice to the client.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its payload; None writes a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since the epoch; None is now.
    pub timestamp_ms: Option<i64>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The broker that all tests of this process share.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

impl Kafka {
    /// Starts a broker of its own; panics with the reason and the end of the broker's log when it does not come up.
    pub fn start() -> Kafka {
        Kafka::start_with("")
    }

    /// A broker of its own that forgets producers and transactional ids within [`FORGOTTEN_WITHIN`], as others do within
    /// days.
    pub fn forgetful() -> Kafka {
        Kafka::start_with(FORGETFUL)
    }

    fn start_with(settings: &str) -> Kafka {
        let class_path = class_path();
        let folder = service_folder("eddyline-kafka-");
        let (port, sasl_port, controller_port) = (free_port(), free_port(), free_port());
        let properties = folder.path().join("server.properties");
        let text = server_properties(folder.path(), port, sasl_port, controller_port) + settings;
        fs::write(&properties, text).expect("a file");

        let format = Command::new("java")
            .args(["-Xmx256m", "-cp", &class_path, "kafka.tools.StorageTool", "format", "-t", "RWRkeWxpbmVUZXN0S2Fma2"])
            .arg("-c")
            .arg(&properties)
            .output()
            .expect("java runs");
        assert!(format.status.success(), "kafka format failed: {}", String::from_utf8_lossy(&format.stderr));

        let kafka = Kafka { process: Mutex::new(broker(folder.path(), &class_path)), folder, port, sasl_port };
        kafka.wait_until_ready();
        kafka
    }

    /// Kills the broker.
    pub fn stop(&self) {
        let mut process = self.process();
        process.kill().expect("the broker can be killed");
        process.wait().expect("the broker can be waited for");
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the broker and starts it again on its data and ports, `down` later; returns when it answers.
    pub fn restart(&self, down: Duration) {
        self.stop();
        let until = Instant::now() + down;
        wait_for("the time to start the broker", DEADLINE + down, || (Instant::now() >= until).then_some(()));
        *self.process() = broker(self.folder.path(), &class_path());
        self.wait_until_ready();
    }

    /// Denies everything to the SASL user `alice` on resources of a kind, such as `TRANSACTIONAL_ID`, whose names begin
    /// with `prefix`.
    pub fn deny_alice(&self, kind: &str, prefix: &str) {
        let program = Path::new(POM).with_file_name("DenyAll.java");
        let output = Command::new("java")
            .args(["-Xmx128m", "-cp", &class_path()])
            .arg(program)
            .args([&self.bootstrap(), "alice", kind, prefix])
            .output()
            .expect("java runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete_topic(&self, name: &str) {
        let results = block_on(self.admin().delete_topics(&[name], &AdminOptions::new())).expect("the broker answers");
        results.into_iter().for_each(|result| drop(result.expect("the topic is deleted")));
        wait_for("the end of the topic", DEADLINE, || (self.partitions(name) == 0).then_some(()));
    }

    /// `127.0.0.1:port`, in the clear.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:port` of the listener that wants SASL/PLAIN.
    pub fn sasl_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_port)
    }

    /// A topic name that no other test uses.
    pub fn fresh_name(&self, prefix: &str) -> String {
        format!("{prefix}-{:08x}", rand::random::<u32>())
    }

    /// Creates a topic and waits until it can be used.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let results = block_on(self.admin().create_topics([&topic], &AdminOptions::new())).expect("the broker answers");
        results.into_iter().for_each(|result| drop(result.expect("the topic is created")));
        self.wait_for_partitions(name, partitions as usize);
    }

    /// Creates a topic with a name of its own.
    pub fn fresh_topic(&self, prefix: &str, partitions: i32) -> String {
        let name = self.fresh_name(prefix);
        self.create_topic(&name, partitions);
        name
    }

    /// Grows a topic.
    pub fn add_partitions(&self, name: &str, partitions: usize) {
        let change = NewPartitions::new(name, partitions);
        block_on(self.admin().create_partitions([&change], &AdminOptions::new())).expect("the broker answers");
        self.wait_for_partitions(name, partitions);
    }

    /// Deletes everything before `offset` of one partition, as retention would.
    pub fn delete_before(&self, name: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(offset)).expect("an offset");
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).expect("the broker answers");
    }

    /// Writes lines without key, line `i` to partition `i % partitions`; returns when all are acknowledged.
    pub fn produce_lines(&self, topic: &str, partitions: usize, lines: impl IntoIterator<Item = impl Into<Vec<u8>>>) {
        self.produce(
            topic,
            lines.into_iter().enumerate().map(|(i, line)| Record {
                partition: Some((i % partitions) as i32),
                value: Some(line.into()),
                ..Record::default()
            }),
        );
    }

    /// Writes messages; returns when all are acknowledged.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) {
        let producer: BaseProducer = self
            .client()
            .set("linger.ms", "20")
            .set("batch.num.messages", "10000")
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        for record in records {
            let mut pending = base_record(topic, &record);
            while let Err((error, returned)) = producer.send(pending) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
                producer.poll(Duration::from_millis(5));
                pending = returned;
            }
        }
        producer.flush(DEADLINE).expect("every message is acknowledged");
    }

    /// All messages of a topic that a `read_committed` consumer sees, partition by partition.
    pub fn read_committed(&self, topic: &str) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "eddyline-tests-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let count = self.partitions(topic);
        assert!(count > 0, "topic {topic} does not exist");
        let mut messages = Vec::new();
        for partition in 0..count as i32 {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
            consumer.assign(&list).expect("an assignment");
            loop {
                match consumer.poll(DEADLINE).expect("a message or the end within the deadline") {
                    Ok(message) => messages.push(message.detach()),
                    Err(KafkaError::PartitionEOF(_)) => break,
                    Err(error) => panic!("cannot read {topic}: {error}"),
                }
            }
        }
        messages
    }

    /// The offset that `group` has committed for a partition.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        // The first question about any group makes the broker create the offsets topic, which takes a moment.
        let ask = || consumer.committed_offsets(list.clone(), DEADLINE).ok();
        let list = wait_for("the group's offsets", DEADLINE, ask);
        list.find_partition(topic, partition)?.offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// Commits an offset for a group that has no members.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        wait_for("the commit", DEADLINE, || consumer.commit(&list, CommitMode::Sync).ok());
    }

    /// Where the broker writes what it has to say.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    /// A client configuration that reaches this broker.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    fn partitions(&self, topic: &str) -> usize {
        let probe: BaseConsumer = self.client().create().expect("a consumer");
        let metadata = probe.fetch_metadata(Some(topic), DEADLINE).expect("the broker answers");
        metadata.topics().iter().map(|t| t.partitions().iter().filter(|p| p.leader() >= 0).count()).sum()
    }

    fn wait_for_partitions(&self, topic: &str, count: usize) {
        wait_for("the topic's partitions", DEADLINE, || (self.partitions(topic) >= count).then_some(()));
    }

    fn wait_until_ready(&self) {
        let probe: BaseConsumer = self.client().create().expect("a consumer");
        let deadline = Instant::now() + DEADLINE;
        loop {
            if probe.fetch_metadata(None, Duration::from_millis(300)).is_ok_and(|m| !m.brokers().is_empty()) {
                return;
            }
            let ended = self.process().try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.log_file()).unwrap_or_default();
                let last = |lines: &mut dyn DoubleEndedIterator<Item = &str>| {
                    let lines: Vec<&str> = lines.rev().take(15).collect();
                    lines.into_iter().rev().map(|line| format!("\n{line}")).collect::<String>()
                };
                let (errors, tail) = (last(&mut log.lines().filter(|l| l.contains("ERROR"))), last(&mut log.lines()));
                panic!("the broker did not start ({ended:?}); its errors:{errors}\nthe end of its log:{tail}");
            }
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let mut process = self.process();
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// A broker process on the data in `folder`; its output is appended to the log.
fn broker(folder: &Path, class_path: &str) -> Child {
    let log = || {
        let file = fs::OpenOptions::new().create(true).append(true).open(folder.join("broker.log"));
        Stdio::from(file.expect("a log file"))
    };
    let mut broker = tied("java", None);
    broker
        .args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", class_path, "kafka.Kafka"])
        .arg(folder.join("server.properties"))
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log());
    spawn(broker).expect("setpriv and java run")
}

fn base_record<'a>(topic: &'a str, record: &'a Record) -> BaseRecord<'a, [u8], [u8]> {
    let mut out = BaseRecord::to(topic);
    out.partition = record.partition;
    out.key = record.key.as_deref();
    out.payload = record.value.as_deref();
    out.timestamp = record.timestamp_ms;
    if !record.headers.is_empty() {
        let add = |all: OwnedHeaders, (key, value): &(String, Vec<u8>)| all.insert(Header { key, value: Some(value) });
        out.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), add));
    }
    out
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The class path of the broker: from the cache when all its jars are still there, else from Maven.
fn class_path() -> String {
    require_program("java", "default-jdk-headless");
    let cache = std::env::temp_dir().join(format!("eddyline-kafka-{VERSION}.classpath"));
    if let Some(known) = fs::read_to_string(&cache).ok().filter(|text| all_exist(text)) {
        return known;
    }
    require_program("mvn", "maven");
    let fresh = tempfile::NamedTempFile::new().expect("a temporary file");
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f", POM, "dependency:build-classpath"])
        .arg(format!("-Dmdep.outputFile={}", fresh.path().display()))
        .output()
        .expect("mvn runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "Maven could not fetch Kafka {VERSION} (is Maven Central reachable?): {said}");
    let class_path = fs::read_to_string(fresh.path()).expect("Maven's output");
    assert!(all_exist(&class_path), "Maven named jars that do not exist: {class_path}");
    // Another test process may do the same at this moment: a rename never shows half a file.
    let _ = fs::copy(fresh.path(), cache.with_extension(format!("{}", std::process::id())))
        .and_then(|_| fs::rename(cache.with_extension(format!("{}", std::process::id())), &cache));
    class_path
}

fn all_exist(class_path: &str) -> bool {
    !class_path.is_empty() && class_path.split(':').all(|jar| Path::new(jar.trim()).exists())
}

fn server_properties(folder: &Path, port: u16, sasl_port: u16, controller_port: u16) -> String {
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_alice=\"alice-secret\";
log.dirs={data}
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
group.initial.rebalance.delay.ms=0
",
        data = data.display()
    )
}
