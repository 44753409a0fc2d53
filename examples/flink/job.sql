-- Follows a folder on S3 and writes what it makes of each line to another one.
CREATE TABLE poem (line STRING) WITH (
  'connector' = 'filesystem',
  'path' = 's3://fedboot-words/poem/',
  'format' = 'raw',
  'source.monitor-interval' = '1s'
);

CREATE TABLE lengths (line STRING, length INT) WITH (
  'connector' = 'filesystem',
  'path' = 's3://fedboot-words/lengths/',
  'format' = 'json',
  'sink.rolling-policy.rollover-interval' = '2s',
  'sink.rolling-policy.check-interval' = '1s'
);

INSERT INTO lengths SELECT line, CHAR_LENGTH(line) FROM poem;
