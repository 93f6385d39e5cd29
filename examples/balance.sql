-- Running balance per user: every transaction yields the new balance. -D brokers=… -D topic=…
SET 'pipeline.name' = 'balance';
SET 'execution.checkpointing.interval' = '5s';
SET 'execution.checkpointing.timeout' = '60s';
SET 'execution.checkpointing.min-pause' = '2s';
SET 'execution.checkpointing.max-concurrent-checkpoints' = '1';

CREATE TABLE transactions (
  user_id STRING,
  amount DECIMAL(12, 2),
  ts TIMESTAMP(3)
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${brokers}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${bounded}',
  'format' = 'json'
);

SELECT user_id, SUM(amount) AS balance FROM transactions GROUP BY user_id;
