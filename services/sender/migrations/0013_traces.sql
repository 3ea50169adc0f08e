-- A trace leads to the messages that it went on in. Few are traced, so the index is small.

-- depends: 0010_hot
-- contract: of the first release, so no version before it runs beside it

CREATE INDEX messages_of_trace ON messages (substr(traceparent, 4, 32)) WHERE traceparent <> '';
