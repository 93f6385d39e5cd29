-- Word count from Kafka to MySQL or MariaDB: inserted the first time a word is seen, updated later, restartable.
-- Nine arguments, each given as -D name=value:
--   brokers      host:port, comma separated           topic       topic of text lines
--   db_host, db_port, db_name, db_table               the table (word VARCHAR PRIMARY KEY, cnt BIGINT) must exist
--   checkpoints  folder of the checkpoints            interval    of the checkpoints, such as 10s
--   parallelism  number of parallel tasks
-- User name and password of the database are db_user and db_password; environment variables of these names work, too.
--
-- Run it again with the same command after a stop or a crash: it goes on from its newest checkpoint. To go on from an
-- older one: --from <checkpoints>/wordcount/chk-70.

SET 'pipeline.name' = 'wordcount';
SET 'parallelism.default' = '${parallelism}';
SET 'execution.checkpointing.dir' = '${checkpoints}';
SET 'execution.checkpointing.interval' = '${interval}';
SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';

CREATE TABLE text_lines (
  line STRING
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${brokers}',
  'properties.group.id' = 'wc-consumer-group',
  'scan.startup.mode' = 'latest-offset',
  'format' = 'raw'
);

CREATE TABLE wc (
  word STRING,
  cnt BIGINT,
  PRIMARY KEY (word) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = 'jdbc:mysql://${db_host}:${db_port}/${db_name}',
  'username' = '${db_user}',
  'password' = '${db_password}',
  'table-name' = '${db_table}'
);

INSERT INTO wc
SELECT word, COUNT(*) AS cnt
FROM text_lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS w (word)
WHERE word <> ''
GROUP BY word;
