-- Activity counters per user: logins and purchases. -D brokers=… -D topic=…
SET 'pipeline.name' = 'activity';
SET 'state.backend.type' = 'hashmap';

CREATE TABLE activity (
  user_id STRING,
  event STRING
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${brokers}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${bounded}',
  'format' = 'json'
);

SELECT
  user_id,
  COUNT(*) FILTER (WHERE event = 'login') AS logins,
  COUNT(*) FILTER (WHERE event = 'purchase') AS purchases
FROM activity
GROUP BY user_id;
