-- Sensor averages: average and number of readings per sensor over tumbling windows of processing time.
-- -D brokers=… -D topic=… -D window=10
CREATE TABLE readings (
  sensor STRING,
  reading DOUBLE,
  pt AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${brokers}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${bounded}',
  'format' = 'json'
);

SELECT sensor, AVG(reading) AS average, COUNT(*) AS readings
FROM TUMBLE(TABLE readings, DESCRIPTOR(pt), INTERVAL '${window}' SECOND)
GROUP BY sensor, window_start, window_end;
