-- Which contacts are one person. A message stands under the contact that its person is now;
-- `home_id` is the one it was meant for, where that is another, so that it can go back.

-- depends: 0001_sender
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE messages ADD COLUMN home_id text NOT NULL DEFAULT '';
CREATE INDEX messages_of_home ON messages (home_id) WHERE home_id <> '';

CREATE TABLE people (
    contact_id text PRIMARY KEY,
    person_id text NOT NULL,
    change_time bigint NOT NULL,
    merged boolean NOT NULL
);
