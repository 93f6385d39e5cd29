-- The main job in one file, without any service: lines of text in Kafka, a running word count, the counts in a database.
-- 'embedded' is a Kafka broker inside this process, for trying out; wc.db is a SQLite file in the current folder.
--   eddyline run examples/quickstart.sql

-- Where the lines come from. In production: 'properties.bootstrap.servers' = 'broker1:9092,broker2:9092'.
CREATE TABLE `lines` (
  line STRING
) WITH (
  'connector' = 'kafka',
  'topic' = 'flink_test',
  'properties.bootstrap.servers' = 'embedded',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset',
  'format' = 'raw'
);

-- Where the counts go. In production: 'url' = 'jdbc:mysql://host:3306/db'.
CREATE TABLE wc (
  word STRING,
  cnt BIGINT,
  PRIMARY KEY (word) NOT ENFORCED
) WITH (
  'connector' = 'jdbc',
  'url' = 'sqlite:wc.db',
  'table-name' = 'wc'
);

CREATE VIEW word_counts AS
SELECT word, COUNT(*) AS cnt
FROM `lines` CROSS JOIN UNNEST(SPLIT(line, ' ')) AS w (word)
GROUP BY word;

-- Write some lines to the topic.
INSERT INTO `lines` VALUES
  ('the stream runs and the table stands'),
  ('on one side the stream'),
  ('on the other side the table'),
  ('between them runs the eddy line');

-- Count, insert the first time a word is seen, update later.
INSERT INTO wc SELECT word, cnt FROM word_counts;

-- Look at the result while it changes.
SELECT word, cnt FROM word_counts;
